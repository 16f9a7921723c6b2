"""Weights of a checkpoint in a model of ours, and back: every tensor has its place, or is named in an error."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

from paribus.errors import RequestError, nearest
from paribus.families.family import Family
from paribus.families.tensors import Move, moves, shapes_of, to_ours
from paribus.model.config import ModelConfig
from paribus.model.transformer import Transformer


class Source(Protocol):
    """Where tensors come from, by name: a folder of a checkpoint, or anything like it."""

    @property
    def names(self) -> Collection[str]: ...

    def tensor(self, name: str) -> Tensor: ...


def fill(
    family: Family, config: ModelConfig, source: Source, *, dtype: torch.dtype | None = None
) -> Transformer:
    """A model of this config with the weights of `source`, in their dtype or in `dtype`.

    Tensors are taken one at a time and not copied where they need not change. Raises `RequestError` that names
    what is missing, what has another shape than the config says, and what has no place in the model.
    """
    shapes = shapes_of(config)
    wanted = moves(family, config, shapes)
    found = _found(family, wanted, source.names)
    with torch.device("meta"):
        model = Transformer(config)
    for move in wanted:
        tensors = [source.tensor(found[name]) for name in move.theirs]
        for name, part in to_ours(move, tensors, config, shapes).items():
            part = part if dtype is None else part.to(dtype)
            _place(model, name, part.contiguous())
    return model


def taken(family: Family, model: Transformer) -> dict[str, Tensor]:
    """The weights of a model by the names of a family; those that are kept as ours are the same tensors.

    Raises `RequestError` for a parameter that the family has no name for.
    """
    state = {name: parameter.detach() for name, parameter in model.named_parameters()}
    shapes = {name: tensor.shape for name, tensor in state.items()}
    found: dict[str, Tensor] = {}
    for move in moves(family, model.config, shapes):
        tensors = move.layout.theirs([state[name] for name in move.ours], model.config)
        found.update(zip(move.theirs, tensors, strict=True))
    return found


def _found(family: Family, wanted: list[Move], names: Collection[str]) -> Mapping[str, str]:
    """What each wanted tensor is called in this checkpoint; every other name must be accounted for."""
    has = set(names)
    found = {}
    for move in wanted:
        for name in move.theirs:
            copies = [copy for copy, original in family.copies.items() if original == name]
            there = [each for each in (name, name.removeprefix(family.prefix), *copies) if each in has]
            if not there:
                raise RequestError(
                    f"the checkpoint has no tensor {name}, which holds {' and '.join(move.ours)}; "
                    f"{nearest(name, sorted(has))}"
                )
            found[name] = there[0]
    spare = has - set(found.values()) - set(family.copies)
    spare = {name for name in spare if not name.endswith(family.unused)} if family.unused else spare
    if spare:
        first = min(spare)
        raise RequestError(
            f"the checkpoint has {len(spare)} tensors that a {family.model_type} of this config.json does not, "
            f"{first} among them; a model without them would be another one"
        )
    return found


def _place(model: nn.Module, name: str, tensor: Tensor) -> None:
    """Put a tensor in the place of a parameter that has no memory yet."""
    module, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(module), leaf, nn.Parameter(tensor))
