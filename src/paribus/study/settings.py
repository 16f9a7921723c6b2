"""What a user may say about a study, checked at the edge: presets, options, `key=value` overrides.

Everything here is a request; what follows from it (widths, trials) is worked out in `plan`.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
import typing
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Annotated, Any

import pydantic
import yaml

from paribus.errors import RequestError, nearest
from paribus.model.config import ModelConfig, PartSpec
from paribus.train.config import TrainConfig

DEFAULT_PRESET = "default"

# The study itself decides these fields of the model.
_DECIDED = {"vocab_size", "ffn", "max_seq_len"}


def _model_section() -> type[pydantic.BaseModel]:
    """The fields of `ModelConfig` that a user may set; a part of them may be left to the study (d_ff)."""
    hints = typing.get_type_hints(ModelConfig)
    fields: dict[str, Any] = {}
    for field in dataclasses.fields(ModelConfig):
        if field.name in _DECIDED:
            continue
        required = field.default is dataclasses.MISSING and field.name != "d_ff"
        hint = hints[field.name] | None if field.name == "d_ff" else hints[field.name]
        fields[field.name] = (hint, ... if required else (None if field.name == "d_ff" else field.default))
    return pydantic.create_model("ModelSection", __config__=pydantic.ConfigDict(extra="forbid"), **fields)


ModelSection = _model_section()
PositiveRate = Annotated[float, pydantic.Field(gt=0, lt=10)]


class StudySettings(pydantic.BaseModel):
    """The request for a study of feed-forward layers.

    `rates` is the common grid of peak learning rates, `seeds` how many seeds from `base_seed` on every arm
    and rate gets, `handicap` the share of the tokens that the handicapped control trains on.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    arms: list[PartSpec] = pydantic.Field(min_length=1)
    baseline: str
    seeds: int = pydantic.Field(ge=1, le=10_000)
    base_seed: int = pydantic.Field(default=0, ge=0, le=2**62)
    rates: list[PositiveRate] = pydantic.Field(min_length=3)
    handicap: float = pydantic.Field(default=0.75, gt=0, lt=1)
    data: str = "stdlib"
    text_field: str = "text"
    tokenizer: str = "bytes"
    model: ModelSection  # type: ignore[valid-type]
    train: TrainConfig

    def model_section(self) -> dict[str, Any]:
        """The settings of the model as plain data."""
        section: pydantic.BaseModel = self.model
        return section.model_dump()

    @pydantic.field_validator("rates")
    @classmethod
    def _even_grid(cls, rates: list[float]) -> list[float]:
        if sorted(set(rates)) != rates:
            raise RequestError(f"rates must rise; they are {rates}")
        ratios = [high / low for low, high in itertools.pairwise(rates)]
        if max(ratios) > 1.01 * min(ratios):
            raise RequestError(f"rates must be evenly spaced in log, as 1e-3,2e-3,4e-3 are; they are {rates}")
        return rates


def preset_names() -> list[str]:
    """Names of the presets that come with the package."""
    return sorted(item.name.removesuffix(".yaml") for item in _presets().iterdir())


def resolve(preset: str, overrides: Mapping[str, Any], dotted: Sequence[str] = ()) -> StudySettings:
    """Settings of a preset with options and then dotted `key=value` overrides laid over it.

    Values of `overrides` that are None are left out. Raises `RequestError`, one sentence, for an unknown
    preset or key and for a value of the wrong kind.
    """
    if preset not in preset_names():
        raise RequestError(f"there is no preset {preset!r}; {nearest(preset, preset_names())}")
    tree = load_yaml((_presets() / f"{preset}.yaml").read_text())
    tree.update({key: value for key, value in overrides.items() if value is not None})
    for override in dotted:
        _lay(tree, override)
    return validate(tree)


def validate(tree: Mapping[str, Any]) -> StudySettings:
    """Check plain data; the first thing wrong becomes one sentence."""
    try:
        return StudySettings.model_validate(tree)
    except pydantic.ValidationError as error:
        raise RequestError(_sentence(error)) from None


def load_yaml(text: str) -> dict[str, Any]:
    """YAML with the scalars of YAML 1.2: `3e-3` is a number and `off` a word, where PyYAML reads otherwise."""
    return yaml.load(text, Loader=_Loader)


class _Loader(yaml.SafeLoader):
    """SafeLoader with the scalars of YAML 1.2: 3e-3 is a number, on and off are words."""


_BOOLEAN = "tag:yaml.org,2002:bool"
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _BOOLEAN]
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


def _lay(tree: dict[str, Any], override: str) -> None:
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


def _sentence(error: pydantic.ValidationError) -> str:
    """The first thing that is wrong, with the nearest allowed key where the key is unknown."""
    first = error.errors()[0]
    path = [str(word) for word in first["loc"]]
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        section, key = path[:-1], path[-1]
        allowed = _keys(section[0]) if section else list(StudySettings.model_fields)
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
