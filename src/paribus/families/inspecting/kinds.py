"""Layers that are alike, so that each kind is looked at and built once, however many there are."""

from __future__ import annotations

import dataclasses
from typing import Any

from paribus.model.config import LAYERED, ModelConfig


def kinds_of(config: ModelConfig, *, stack: str = "decoder") -> list[tuple[int, ...]]:
    """The layers of a stack by kind: those with the same parts in every slot, in the order of their first one.

    All stacks have the same kinds in the same order, for the pattern of each begins anew.
    """
    in_encoder = stack == "encoder" and config.architecture == "encoder_decoder"
    layers = (config.encoder_layers or config.num_layers) if in_encoder else config.num_layers
    patterns = {slot: [repr(spec) for spec in config.specs(slot)] for slot in LAYERED}
    found: dict[tuple[str, ...], list[int]] = {}
    for layer in range(layers):
        kind = tuple(pattern[layer % len(pattern)] for pattern in patterns.values())
        found.setdefault(kind, []).append(layer)
    return [tuple(layers) for layers in found.values()]


def one_of_each(config: ModelConfig) -> ModelConfig:
    """The model with one layer of each kind, in the order of `kinds_of`."""
    kinds = kinds_of(config)
    shallow: dict[str, Any] = {"num_layers": len(kinds)}
    if config.architecture == "encoder_decoder":
        shallow["encoder_layers"] = len(kinds)
    for slot in LAYERED:
        specs = config.specs(slot)
        # A list of one stays one part: positions that are added to the embeddings cannot stand in a list.
        if len(specs) > 1:
            shallow[slot] = [specs[layers[0] % len(specs)] for layers in kinds]
    return dataclasses.replace(config, **shallow)
