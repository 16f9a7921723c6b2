"""Which tensors of a checkpoint hold which parameters of ours, one move for each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from paribus.errors import RequestError
from paribus.families.family import Family, Laid
from paribus.families.layouts import Layout, Rows
from paribus.model.config import ModelConfig
from paribus.model.count import on_meta

Shapes = Mapping[str, torch.Size]


@dataclass(frozen=True, kw_only=True)
class Move:
    """Tensors of theirs and the parameters of ours that they hold, both in order."""

    theirs: tuple[str, ...]
    ours: tuple[str, ...]
    layout: Layout


def moves(family: Family, config: ModelConfig, shapes: Shapes) -> list[Move]:
    """A move for every parameter in `shapes`. Raises `RequestError` for one that the family has no name for."""
    assert config.head_dim is not None
    found = []
    placed: set[str] = set()
    for theirs, row in family.tensors_of(config).items():
        laid = row if isinstance(row, Laid) else Laid(Rows(), (row,))
        for layer in _layers(laid.ours[0], config):
            modules = tuple(module.format(layer=layer) for module in laid.ours)
            for leaf in _leaves(modules, shapes):
                ours = tuple(f"{module}.{leaf}" for module in modules)
                heads = range(shapes[ours[0]][0] // config.head_dim if "{head}" in theirs else 1)
                names = tuple(f"{theirs.format(layer=layer, head=head)}.{leaf}" for head in heads)
                found.append(Move(theirs=names, ours=ours, layout=laid.layout))
                placed.update(ours)
    if lost := sorted(shapes.keys() - placed):
        more = f", and for {len(lost) - 1} more" if len(lost) > 1 else ""
        raise RequestError(f"{family.model_type} has no tensor for {lost[0]}{more}")
    return found


def _layers(module: str, config: ModelConfig) -> range:
    if "{layer}" not in module:
        return range(1)
    in_encoder = module.startswith("encoder.") and config.architecture == "encoder_decoder"
    return range((config.encoder_layers or config.num_layers) if in_encoder else config.num_layers)


def _leaves(modules: tuple[str, ...], shapes: Shapes) -> Iterator[str]:
    """Last words of the parameters that all these modules have."""
    for leaf in ("weight", "bias"):
        if all(f"{module}.{leaf}" in shapes for module in modules):
            yield leaf


def shapes_of(config: ModelConfig) -> dict[str, torch.Size]:
    """The parameters of a model of this config; costs no memory."""
    return {name: parameter.shape for name, parameter in on_meta(config).named_parameters()}


def to_ours(move: Move, tensors: Sequence[Tensor], config: ModelConfig, shapes: Shapes) -> dict[str, Tensor]:
    """Our parameters from tensors of theirs: views of them where that is possible.

    Raises `RequestError` if a shape is not what the config says.
    """
    for name, tensor, expected in zip(move.theirs, tensors, their_shapes(move, config, shapes), strict=True):
        if tensor.shape != expected:
            raise RequestError(
                f"{name} has the shape {list(tensor.shape)}, and by config.json it would be {list(expected)}"
            )
    parts = move.layout.ours(tensors, [shapes[name][0] for name in move.ours], config)
    return dict(zip(move.ours, parts, strict=True))


def their_shapes(move: Move, config: ModelConfig, shapes: Shapes) -> list[torch.Size]:
    """The shapes of their tensors."""
    blanks = [torch.empty(shapes[name], device="meta") for name in move.ours]
    return [tensor.shape for tensor in move.layout.theirs(blanks, config)]
