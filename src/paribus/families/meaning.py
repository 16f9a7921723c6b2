"""What a config means: every part as its class with all its options, whatever name was used for it.

`swiglu` and `{name: gated, gate: silu}` are the same layer; here they compare equal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from paribus import registry
from paribus.model.config import GIVEN, LAYERED, SLOTS, ModelConfig
from paribus.registry import Card

#: Options that change how a layer is computed or checked, not what it computes.
_WITHOUT_MEANING = {"memory", "grouped", "num_kv_heads"}


@dataclass(frozen=True, kw_only=True)
class ResolvedPart:
    """A part by its class (or function) and every option it was built with; names are for reading only."""

    name: str = field(compare=False)
    factory: Callable[..., Any]
    options: Mapping[str, Any]


def resolved(config: ModelConfig, slot: str, layer: int = 0) -> ResolvedPart:
    """The part of a slot in a layer, its defaults filled in."""
    card, given = config.part(slot, layer)
    part = _resolved(card, given, without=GIVEN[slot])
    if slot == "attention" and part.options.get("scale", 0) is None:
        assert config.head_dim is not None
        part = replace(part, options={**part.options, "scale": 1 / math.sqrt(config.head_dim)})
    if slot == "position" and part.options.get("original_length", 0) is None:
        part = replace(part, options={**part.options, "original_length": config.max_seq_len})
    return part


def _resolved(card: Card, given: Mapping[str, Any], *, without: Collection[str]) -> ResolvedPart:
    options = {name: each.default for name, each in card.parameters_of_build().items()}
    options |= {**card.options, **given}
    options = {name: value for name, value in options.items() if name not in {*without, *_WITHOUT_MEANING}}
    if (norm := options.get("qk_norm")) is not None:
        spec = {"name": norm} if isinstance(norm, str) else dict(norm)
        options["qk_norm"] = _resolved(registry.get("norm", spec.pop("name")), spec, without={"d_model"})
    return ResolvedPart(
        name=card.name,
        factory=card.factory,
        options={name: _plain(value) for name, value in options.items()},
    )


def num_kv_heads(config: ModelConfig) -> int:
    """Heads of keys and values, however the config says it."""
    fixed = config.part("attention")[0].options.get("num_kv_heads")
    return config.num_kv_heads or fixed or config.num_heads


def meaning(config: ModelConfig) -> dict[str, Any]:
    """Every field with nothing left to defaults; slots as one `ResolvedPart` for each layer where they may differ."""
    found: dict[str, Any] = {}
    for each in fields(config):
        if each.name in SLOTS:
            kinds = [resolved(config, each.name, layer) for layer in range(len(config.specs(each.name)))]
            layers = config.num_layers if each.name in LAYERED else 1
            found[each.name] = tuple(kinds[layer % len(kinds)] for layer in range(layers))
        elif each.name != "ffn_memory":
            found[each.name] = getattr(config, each.name)
    found["num_kv_heads"] = num_kv_heads(config)
    found["encoder_layers"] = config.encoder_layers or config.num_layers
    for name in ("embedding_norm", "final_norm"):
        found[name] = {stack: getattr(each, name) for stack, each in config.stacks().items()}
    return found


def differing(a: ModelConfig, b: ModelConfig) -> list[str]:
    """Names of the fields that do not mean the same."""
    of_a, of_b = meaning(a), meaning(b)
    return [name for name in of_a if not _same(of_a[name], of_b[name])]


def _same(a: Any, b: Any) -> bool:
    """Equality, but for the last bits of numbers that came about in two ways."""
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-9)
    if isinstance(a, ResolvedPart) and isinstance(b, ResolvedPart):
        return a.factory is b.factory and _same(a.options, b.options)
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    return bool(a == b)


def _plain(value: Any) -> Any:
    """Sequences as tuples and mappings as dicts, so that equal options compare equal."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple(_plain(each) for each in value)
    return value
