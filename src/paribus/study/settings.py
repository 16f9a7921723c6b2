"""What a user may say about a study, checked at the edge: presets, options, `key=value` overrides.

Everything here is a request; what follows from it (widths, trials) is worked out in `plan`.
"""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import yaml

from paribus import registry
from paribus.errors import RequestError, nearest
from paribus.model.config import SLOTS, ModelConfig, PartSpec
from paribus.study.likeness import Likeness, likened
from paribus.study.plan import check_rates
from paribus.train.config import TrainConfig

_SIZES = "sizes.yaml"

# The study itself decides these fields of the model.
DECIDED = ("vocab_size", "max_seq_len")


def _model_section() -> type[pydantic.BaseModel]:
    """The fields of `ModelConfig` that a user may set; a part of them may be left to the study (d_ff)."""
    hints = typing.get_type_hints(ModelConfig)
    fields: dict[str, Any] = {}
    for field in dataclasses.fields(ModelConfig):
        if field.name in DECIDED:
            continue
        required = field.default is dataclasses.MISSING and field.name != "d_ff"
        hint = hints[field.name] | None if field.name == "d_ff" else hints[field.name]
        fields[field.name] = (hint, ... if required else (None if field.name == "d_ff" else field.default))
    return pydantic.create_model("ModelSection", __config__=pydantic.ConfigDict(extra="forbid"), **fields)


ModelSection = _model_section()
PositiveRate = Annotated[float, pydantic.Field(gt=0, lt=10)]


class StudySettings(pydantic.BaseModel):
    """The request for a study.

    `arms` are parts of `slot`, or mappings {name, set: {key: value}} of any settings; `vary` is a grid of
    settings, each combination an arm. `rates` is the common grid of peak learning rates, `seeds` how many seeds
    from `base_seed` on every arm and rate gets, `schemes` the initial schemes that all of it runs under (default:
    the one of train.init_scheme), `handicap` the share of the tokens that the handicapped control trains on.
    `match` is what is held equal beside the widths: see `plan.MATCHES`. `margin` is the difference that does not
    matter. `like` says whose anatomy the model has, where `model: {like: PATH, scale: 10M}` was asked for.
    `until_resolved` looks after 4, 8 and 16 seeds and stops when nothing is open. `probes` are what a
    trial measures beside its loss.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    kind: Literal["compare", "position", "depth", "repetition", "tokenizer"] = "compare"
    slot: str = "ffn"
    arms: list[PartSpec] | None = pydantic.Field(default=None, min_length=1)
    vary: dict[str, Annotated[list[Any], pydantic.Field(min_length=1)]] = {}
    baseline: str | None = None
    match: Literal["params", "flops", "time", "bytes", "none"] = "params"
    margin: float | None = pydantic.Field(default=None, gt=0)
    schemes: list[str] | None = pydantic.Field(default=None, min_length=1)
    until_resolved: bool = False
    seeds: int = pydantic.Field(ge=1, le=10_000)
    base_seed: int = pydantic.Field(default=0, ge=0, le=2**62)
    rates: list[PositiveRate] = pydantic.Field(min_length=3)
    handicap: float = pydantic.Field(default=0.75, gt=0, lt=1)
    probes: dict[str, dict[str, Any]] = {}
    data: str = "stdlib"
    text_field: str = "text"
    tokenizer: str = "bytes"
    like: Likeness | None = None
    model: ModelSection  # type: ignore[valid-type]
    train: TrainConfig

    def model_section(self) -> dict[str, Any]:
        """The settings of the model as plain data."""
        section: pydantic.BaseModel = self.model
        return section.model_dump()

    def model_given(self) -> dict[str, Any]:
        """The settings of the model that the request names; the others have their defaults."""
        section: pydantic.BaseModel = self.model
        return section.model_dump(exclude_unset=True)

    @pydantic.field_validator("rates")
    @classmethod
    def _even_grid(cls, rates: list[float]) -> list[float]:
        check_rates(rates)
        return rates


def study_names() -> list[str]:
    """Names of the studies that come with the package."""
    return sorted(item.name.removesuffix(".yaml") for item in _presets().iterdir() if item.name != _SIZES)


def size_names() -> list[str]:
    """Names of the sizes that every one of them has."""
    return list(load_yaml((_presets() / _SIZES).read_text()))


def resolve(
    size: str,
    overrides: Mapping[str, Any],
    dotted: Sequence[str] = (),
    *,
    study: str = "ffn",
    file: Mapping[str, Any] | None = None,
) -> StudySettings:
    """Settings of a study at a size, with a file, options and then dotted `key=value` overrides laid over it.

    Values of `overrides` that are None are left out. A `vary` that the user gives replaces the arms of the preset,
    and `model.like` everything that the preset says of the model: its own part of what is compared is the baseline.
    Raises `RequestError`, one sentence, for an unknown study, size or key and for a value of the wrong kind.
    """
    if size not in size_names():
        raise RequestError(f"there is no preset {size!r}; {nearest(size, size_names())}")
    if study not in study_names():
        raise RequestError(f"there is no study of {study!r}; {nearest(study, study_names())}")
    preset = load_yaml((_presets() / f"{study}.yaml").read_text())
    tree: dict[str, Any] = {}
    for layer in (load_yaml((_presets() / _SIZES).read_text())[size], preset["all"], preset[size]):
        _overlay(tree, layer)
    given = {key: value for key, value in overrides.items() if value is not None}
    asked = [given, *([file] if file else [])]
    if grids := [request["vary"] for request in asked if "vary" in request]:
        for key in ("arms", "vary", "baseline"):
            tree.pop(key, None)
        if any(
            isinstance(grid, Mapping) and {"ffn", "model.ffn", "activation"} & grid.keys() for grid in grids
        ):
            tree["model"].pop("ffn", None)  # a preset's layer stands for what nobody asked about
    own: dict[str, Any] = {}
    for layer in reversed(asked):
        _overlay(tree, layer)
        _overlay(own, layer)
    for override in dotted:
        lay(tree, override)
        lay(own, override)
    if isinstance(model := own.get("model"), Mapping) and {"like", "scale"} & model.keys():
        tree["model"] = model
    return validate(_like(tree, baseline=own.get("baseline")))


def _like(tree: dict[str, Any], *, baseline: Any) -> dict[str, Any]:
    """Settings with `model.like` worked out, and the original's part put first among those that are compared."""
    if not isinstance(tree["model"], Mapping) or not {"like", "scale"} & tree["model"].keys():
        return tree
    section, like = likened(tree["model"], train_of(tree["train"]), tokenizer=tree.get("tokenizer", "bytes"))
    tree |= {"like": like, "model": {key: value for key, value in section.items() if key not in DECIDED}}
    if baseline is not None:
        return tree
    tree.pop("baseline", None)
    if isinstance(vary := tree.get("vary"), Mapping):
        tree["vary"] = {
            key: _with_own(key.removeprefix("model."), each, section) for key, each in vary.items()
        }
    elif isinstance(tree.get("arms"), list):
        tree["arms"] = _with_own(tree.get("slot", "ffn"), tree["arms"], section)
    return tree


def _with_own(slot: str, parts: Any, section: Mapping[str, Any]) -> Any:
    """The parts of a slot, the model's own first."""
    if slot not in SLOTS or not isinstance(parts, list):
        return parts
    own = section[slot]
    return [own, *(part for part in parts if not _same(slot, part, own))]


def _same(slot: str, part: Any, own: Any) -> bool:
    """Whether two names or mappings say one part with the same options."""
    if isinstance(part, str) and isinstance(own, str) and ".py:" not in part:
        return registry.get(slot, part).name == registry.get(slot, own).name
    return bool(part == own)


def train_of(section: Any) -> TrainConfig:
    """The training settings of a section; raises `RequestError`, one sentence."""
    try:
        return pydantic.TypeAdapter(TrainConfig).validate_python(section)
    except pydantic.ValidationError as error:
        raise RequestError(sentence(error, inside=("train",))) from None


def load_file(path: str) -> dict[str, Any]:
    """A user's study file as plain data; raises `RequestError` if it cannot be read as a mapping of settings."""
    try:
        tree = load_yaml(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise RequestError(f"the file {path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = f" in line {mark.line + 1}" if (mark := getattr(error, "problem_mark", None)) else ""
        raise RequestError(f"the file {path} is not YAML{where}") from None
    if not isinstance(tree, dict) or not all(isinstance(key, str) for key in tree):
        raise RequestError(f"the file {path} must be a mapping of settings, as seeds: 8 is")
    return tree


def _overlay(tree: dict[str, Any], layer: Mapping[str, Any]) -> None:
    """Lay one mapping over another; the sections model and train field by field, all else whole."""
    for key, value in layer.items():
        if key in ("model", "train") and isinstance(value, Mapping):
            tree[key] = {**tree.get(key, {}), **value}
        else:
            tree[key] = value


def validate(tree: Mapping[str, Any]) -> StudySettings:
    """Check plain data; the first thing wrong becomes one sentence."""
    try:
        return StudySettings.model_validate(tree)
    except pydantic.ValidationError as error:
        raise RequestError(sentence(error)) from None


def load_yaml(text: str) -> dict[str, Any]:
    """YAML with the scalars of YAML 1.2: `3e-3` is a number and `off` a word, where PyYAML reads otherwise."""
    try:
        return yaml.load(text, Loader=_Loader)
    except (ValueError, AttributeError, TypeError, RecursionError) as error:  # of what builds its values
        if isinstance(error, yaml.YAMLError):
            raise
        raise yaml.YAMLError(f"a value cannot be read: {error}") from error


class _Loader(yaml.SafeLoader):
    """SafeLoader with the scalars of YAML 1.2: 3e-3 is a number, on and off are words, and so is a date."""


_BOOLEAN, _DATE = "tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp"
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in (_BOOLEAN, _DATE)]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_BOOLEAN, re.compile(r"^(?:true|false)$", re.IGNORECASE), list("tTfF"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def _presets() -> Any:
    return resources.files("paribus.study") / "presets"


def lay(tree: dict[str, Any], override: str) -> None:
    """Write one `a.b=value` into the tree."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise RequestError(f"an override is key=value, as in model.d_model=192; this one is {override!r}")
    try:
        value = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError:
        raise RequestError(f"the value of {key} cannot be read: {text!r}") from None
    *path, last = key.split(".")
    node = tree
    for word in path:
        below = node.setdefault(word, {})
        if not isinstance(below, dict):
            raise RequestError(f"{word!r} in {key!r} has no fields of its own")
        node = below
    node[last] = value


def sentence(
    error: pydantic.ValidationError, *, inside: tuple[str, ...] = (), settings: Sequence[str] | None = None
) -> str:
    """The first thing that is wrong, with the nearest allowed key where the key is unknown.

    `settings` are the keys outside all sections (default: a study's), `inside` where the whole stands.
    """
    first = error.errors()[0]
    path = [str(word) for word in (*inside, *first["loc"])]
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        section, key = path[:-1], path[-1]
        allowed = _keys(section[0]) if section else list(settings or StudySettings.model_fields)
        prefix = "".join(f"{word}." for word in section)
        return (
            f"there is no setting {prefix}{key}; {nearest(prefix + key, [prefix + name for name in allowed])}"
        )
    if first["type"] == "value_error":
        return str(first["ctx"]["error"])
    if first["type"] == "missing":
        return f"the setting {'.'.join(path)} is missing"
    return f"the setting {'.'.join(path)} is {first['input']!r}: {first['msg'].lower()}"


def _keys(section: str) -> list[str]:
    if section == "train":
        return [field.name for field in dataclasses.fields(TrainConfig)]
    if section == "model":
        return list(ModelSection.model_fields)
    return []
