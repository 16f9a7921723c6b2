"""Which tensors of a checkpoint hold which parameters of ours, one move for each tensor of theirs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from paribus.errors import RequestError
from paribus.families.family import Family, Fused
from paribus.families.layouts import Layout, Rows
from paribus.model.config import ModelConfig
from paribus.model.transformer import Transformer

_ONE = Rows()


@dataclass(frozen=True, kw_only=True)
class Move:
    """One tensor of theirs and the parameters of ours that it holds, in order."""

    theirs: str
    ours: tuple[str, ...]
    layout: Layout


def moves(family: Family, config: ModelConfig, shapes: Mapping[str, torch.Size]) -> list[Move]:
    """A move for every parameter in `shapes`. Raises `RequestError` for one that the family has no name for."""
    found = []
    placed: set[str] = set()
    for theirs, row in family.tensors_of(config).items():
        modules, layout = (row.ours, row.layout) if isinstance(row, Fused) else ((row,), _ONE)
        for layer in _layers(modules[0], config):
            names = tuple(module.format(layer=layer) for module in modules)
            for leaf in _leaves(names, shapes):
                ours = tuple(f"{name}.{leaf}" for name in names)
                found.append(Move(theirs=f"{theirs.format(layer=layer)}.{leaf}", ours=ours, layout=layout))
                placed.update(ours)
    if lost := sorted(shapes.keys() - placed):
        raise RequestError(f"{family.model_type} has no tensor for {lost[0]}{_and_more(lost)}")
    return found


def _layers(module: str, config: ModelConfig) -> range:
    if "{layer}" not in module:
        return range(1)
    in_encoder = module.startswith("encoder.") and config.architecture == "encoder_decoder"
    return range((config.encoder_layers or config.num_layers) if in_encoder else config.num_layers)


def _leaves(modules: tuple[str, ...], shapes: Mapping[str, torch.Size]) -> Iterator[str]:
    """Last words of the parameters that all these modules have."""
    for leaf in ("weight", "bias"):
        if all(f"{module}.{leaf}" in shapes for module in modules):
            yield leaf


def shapes_of(config: ModelConfig) -> dict[str, torch.Size]:
    """The parameters of a model of this config; costs no memory."""
    with torch.device("meta"):
        return {name: parameter.shape for name, parameter in Transformer(config).named_parameters()}


def to_ours(
    move: Move, tensor: Tensor, config: ModelConfig, shapes: Mapping[str, torch.Size]
) -> dict[str, Tensor]:
    """Our parameters from one tensor of theirs: views of it where that is possible.

    Raises `RequestError` if its shape is not what the config says.
    """
    expected = their_shape(move, config, shapes)
    if tensor.shape != expected:
        raise RequestError(
            f"{move.theirs} has the shape {list(tensor.shape)}, and by config.json it would be {list(expected)}"
        )
    parts = move.layout.split(tensor, [shapes[name][0] for name in move.ours], config)
    return dict(zip(move.ours, parts, strict=True))


def their_shape(move: Move, config: ModelConfig, shapes: Mapping[str, torch.Size]) -> torch.Size:
    """The shape of their tensor."""
    return move.layout.join([torch.empty(shapes[name], device="meta") for name in move.ours], config).shape


def _and_more(names: list[str]) -> str:
    return f", and for {len(names) - 1} more" if len(names) > 1 else ""
