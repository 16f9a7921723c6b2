"""A family of checkpoints: how its `config.json` says the parts, and what its tensors are called.

One file a family in `known/`. Nothing else in Paribus knows a model by its name.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from paribus.errors import RequestError, nearest, shown
from paribus.families.keys import KeyRead, Keys
from paribus.families.layouts import Layout
from paribus.families.meaning import differing, meaning
from paribus.families.rules import Rule, Written, merged, nested
from paribus.model.config import ModelConfig

#: A stack of layers beyond this is no model but a broken file.
MOST_LAYERS = 1_000


@dataclass(frozen=True)
class Laid:
    """Modules of ours that stand in theirs in a layout of their own; `{head}` in their name is the number of a head."""

    layout: Layout
    ours: tuple[str, ...]


#: Their modules and ours: names without the last word (weight, bias), `{layer}` for its number.
Tensors = Mapping[str, str | Laid]


@dataclass(frozen=True, kw_only=True)
class Family:
    """What is known of one `model_type`.

    `transformers_class` is the class that reads what we write. `config` has a rule for every argument of
    `ModelConfig` that is not its default; `only` the keys that change what is computed in a way that no part of
    ours does, with the value at which they do not. `tensors` has a row for every module, as a function of the
    config where the names depend on it. Tensors in `copies` repeat another one where the
    embeddings are tied, and may be absent; those in `repeats` are the other one whenever they are absent; names that end
    as one of `unused` says carry nothing that is learned, those in `aside` belong to heads for other tasks. `prefix` is what checkpoints of the bare trunk leave out.
    """

    model_type: str
    transformers_class: str
    config: Mapping[str, Rule]
    tensors: Tensors | Callable[[ModelConfig], Tensors]
    only: Mapping[str, Any] = field(default_factory=dict)
    prefix: str = ""
    copies: Mapping[str, str] = field(default_factory=dict)
    repeats: Mapping[str, str] = field(default_factory=dict)
    unused: tuple[str, ...] = ()
    aside: tuple[str, ...] = ()

    def tensors_of(self, config: ModelConfig) -> Tensors:
        """The rows for a model of this config."""
        return self.tensors(config) if callable(self.tensors) else self.tensors


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A `config.json` as a model of ours: which keys each argument came from, and which keys were not read."""

    family: Family
    config: ModelConfig
    evidence: Mapping[str, tuple[KeyRead, ...]]
    unread: tuple[str, ...]


def interpret(family: Family, config: Mapping[str, Any]) -> Reading:
    """The model that a `config.json` of this family describes. Raises `RequestError` if it describes none."""
    keys = Keys(config)
    arguments: dict[str, Any] = {}
    evidence = {}
    for name, rule in family.config.items():
        with keys.seen() as seen:
            arguments[name] = rule.read(keys)
        if name in ("num_layers", "encoder_layers"):
            refuse_too_deep(arguments[name])  # at once: rules below go layer by layer
        evidence[name] = tuple(seen)
    for key, value in family.only.items():
        if (given := keys.get(key, value)) != value:
            raise RequestError(
                f"config.json: {key} is {shown(repr(given), at_most=60)}, and no part here does that; only {value!r} will do"
            )
    _name_attention(arguments)
    outer = {name.split(".")[0] for name in keys.read}
    return Reading(
        family=family,
        config=ModelConfig(**arguments),
        evidence=evidence,
        unread=tuple(sorted(config.keys() - outer)),
    )


def express(family: Family, config: ModelConfig) -> Written:
    """The `config.json` of a model in this family. Raises `Inexpressible` that names what the family has not."""
    written: Written = {"model_type": family.model_type, "architectures": [family.transformers_class]}
    for key, value in family.only.items():  # said, not left to what the reader's version takes as usual
        written = merged(written, nested(key, value)) if value is not None else written
    means = meaning(config)
    for name, rule in family.config.items():
        written = merged(written, rule.write(means[name], config))
    try:
        again = interpret(family, written).config
    except RequestError as error:
        raise Inexpressible(f"{family.model_type} has no such model: {error}", tuple(means)) from None
    if wrong := differing(config, again):
        raise Inexpressible(
            f"{family.model_type} has no such model: {_told(config, again, wrong)}", tuple(wrong)
        )
    return written


def refuse_too_deep(layers: object) -> None:
    """Raise `RequestError` for a number of layers that no model has; what is no number is for others to refuse."""
    if isinstance(layers, int) and not 1 <= layers <= MOST_LAYERS:
        raise RequestError(f"config.json: a model of {shown(f'{layers:,}', at_most=60)} layers cannot be")


class Inexpressible(RequestError):
    """A model that a family has not; `fields` are the arguments of `ModelConfig` that it cannot say."""

    def __init__(self, message: str, fields: tuple[str, ...]) -> None:
        super().__init__(message)
        self.fields = fields


def _told(config: ModelConfig, again: ModelConfig, wrong: list[str]) -> str:
    """How two configs differ, in a few words."""
    return ", ".join(
        f"{name} would be {getattr(again, name)!r}, not {getattr(config, name)!r}" for name in wrong
    )


def _name_attention(arguments: dict[str, Any]) -> None:
    """Attention is called by how many key and value heads there are."""
    heads, kv_heads = arguments["num_heads"], arguments.get("num_kv_heads")
    if kv_heads is None or kv_heads == heads:
        name, arguments["num_kv_heads"] = "mha", None
    elif kv_heads == 1:
        name, arguments["num_kv_heads"] = "mqa", None
    else:
        name = "gqa"
    specs = arguments["attention"] if isinstance(arguments["attention"], list) else [arguments["attention"]]
    named: list[Any] = [name if isinstance(spec, str) else {**spec, "name": name} for spec in specs]
    arguments["attention"] = named if len(named) > 1 else named[0]


@functools.cache
def families() -> Mapping[str, Family]:
    """Every known family by its `model_type`."""
    known = importlib.import_module("paribus.families.known")
    found = {}
    for module in pkgutil.iter_modules(known.__path__):
        family: Family = importlib.import_module(f"{known.__name__}.{module.name}").FAMILY
        found[family.model_type] = family
    return found


def family_of(config: Mapping[str, Any]) -> Family:
    """The family of a `config.json`. Raises `RequestError` for one that is not known yet."""
    model_type = config.get("model_type")
    if not isinstance(model_type, str):
        raise RequestError("config.json has no model_type, so nothing says which family it is of")
    if model_type not in families():
        raise RequestError(
            f"models of the type {shown(model_type, at_most=60)!r} can be inspected and not yet loaded; {nearest(model_type, families())}"
        )
    return families()[model_type]
