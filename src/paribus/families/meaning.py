"""What a config means: every part as its class with all its options, whatever name was used for it.

`swiglu` and `{name: gated, gate: silu}` are the same layer; here they compare equal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from paribus.model.config import GIVEN, LAYERED, SLOTS, ModelConfig

#: Options that change how a layer is computed or checked, not what it computes.
_WITHOUT_MEANING = {"memory", "grouped", "num_kv_heads"}


@dataclass(frozen=True, kw_only=True)
class ResolvedPart:
    """A part by its class (or function) and every option it was built with."""

    factory: Callable[..., Any]
    options: Mapping[str, Any]


def resolved(config: ModelConfig, slot: str, layer: int = 0) -> ResolvedPart:
    """The part of a slot in a layer, its defaults filled in."""
    card, given = config.part(slot, layer)
    free = card.parameters_of_build()
    options = {name: each.default for name, each in free.items() if name not in GIVEN[slot]}
    options |= {**card.options, **given}
    return ResolvedPart(
        factory=card.factory,
        options={name: _plain(value) for name, value in options.items() if name not in _WITHOUT_MEANING},
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
            layers = range(config.num_layers) if each.name in LAYERED else range(1)
            found[each.name] = tuple(resolved(config, each.name, layer) for layer in layers)
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
    return [name for name in of_a if of_a[name] != of_b[name]]


def _plain(value: Any) -> Any:
    """Sequences as tuples and mappings as dicts, so that equal options compare equal."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple(_plain(each) for each in value)
    return value
