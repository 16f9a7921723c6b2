"""Weights of a checkpoint in a model of ours, and back: every tensor has its place, or is named in an error."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from paribus.errors import RequestError
from paribus.families.family import Family
from paribus.families.files.writing import Outgoing
from paribus.families.tensors import Move, moves, shapes_of, their_shapes, to_ours
from paribus.model.config import ModelConfig
from paribus.model.count import on_meta
from paribus.model.transformer import Transformer


class Source(Protocol):
    """Where tensors come from, by name: a folder of a checkpoint, or anything like it."""

    @property
    def tensors(self) -> Collection[str]: ...

    def tensor(self, name: str) -> Tensor: ...

    def release(self, name: str) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Filled:
    """A model with its weights, and the tensors that belong to heads for other tasks and were left out."""

    model: Transformer
    aside: tuple[str, ...]


def fill(family: Family, config: ModelConfig, source: Source, *, dtype: torch.dtype | None = None) -> Filled:
    """A model of this config with the weights of `source`, in their dtype or in `dtype`.

    Tensors are taken one at a time and not copied where they need not change. Raises `RequestError` that names
    what is missing, what has another shape than the config says, and what has no place in the model.
    """
    shapes = shapes_of(config)
    wanted = moves(family, config, shapes)
    names = set(source.tensors)
    found = tensor_names(family, wanted, names)
    aside = tuple(sorted(name for name in names if family.aside and name.endswith(family.aside)))
    refuse_spare(family, names - set(found.values()) - set(aside))
    model = on_meta(config)
    taken: set[str] = set()
    # The largest first: the source of a converted tensor is in memory beside it, best while little else is.
    for move in sorted(wanted, key=lambda move: -sum(shapes[name].numel() for name in move.ours)):
        tensors = [source.tensor(found[name]) for name in move.theirs]
        mapped = {tensor.untyped_storage().data_ptr() for tensor in tensors}
        kept = False
        for name, part in to_ours(move, tensors, config, shapes).items():
            part = part if dtype is None or part.dtype == dtype else converted(part, dtype)
            # A matrix that stands for two is two in the model: training changes one of them.
            part = part.clone() if found[move.theirs[0]] in taken else part.contiguous()
            kept = kept or part.untyped_storage().data_ptr() in mapped
            place(model, name, part)
        if not kept:
            for name in {found[each] for each in move.theirs} - taken:
                source.release(name)
        taken.update(found[each] for each in move.theirs)
    return Filled(model=model, aside=aside)


def outgoing(family: Family, model: Transformer) -> Iterator[Outgoing]:
    """The weights of a model by the names of a family, made one by one.

    Raises `RequestError` for a parameter that the family has no name for.
    """
    state = {name: parameter.detach() for name, parameter in model.named_parameters()}
    shapes = {name: tensor.shape for name, tensor in state.items()}
    for move in moves(family, model.config, shapes):
        ours = [state[name] for name in move.ours]
        for at, (name, shape) in enumerate(
            zip(move.theirs, their_shapes(move, model.config, shapes), strict=True)
        ):
            make = functools.partial(_one, move, ours, model.config, at)
            yield Outgoing(name=name, shape=tuple(shape), dtype=ours[0].dtype, make=make)


def _one(move: Move, ours: list[Tensor], config: ModelConfig, at: int) -> Tensor:
    return move.layout.theirs(ours, config)[at]


def converted(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """A contiguous copy in another dtype, made at once: `to` keeps the order in memory, which would take a second one."""
    return torch.empty(tensor.shape, dtype=dtype).copy_(tensor)


def place(model: nn.Module, name: str, tensor: Tensor) -> None:
    """Put a tensor in the place of a parameter that has no memory yet.

    Raises `RequestError` for whole numbers, which do not learn.
    """
    if not tensor.dtype.is_floating_point:
        kind = str(tensor.dtype).removeprefix("torch.")
        raise RequestError(
            f"the weights of {name} are of type {kind}, and a weight is a floating-point number"
        )
    module, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(module), leaf, nn.Parameter(tensor.contiguous()))


def tensor_names(family: Family, wanted: list[Move], names: Collection[str]) -> Mapping[str, str]:
    """What each wanted tensor is called in this checkpoint. Raises `RequestError` for one that is not there."""
    found = {}
    spare = set(names) - {name for move in wanted for name in move.theirs}
    for move in wanted:
        for name in move.theirs:
            copies = [copy for copy, original in family.copies.items() if original == name]
            others = [*copies, *(original for repeat, original in family.repeats.items() if repeat == name)]
            called = [name, name.removeprefix(family.prefix), *others]
            there = [each for each in (*called, *map(_older, called)) if each in names]
            if not there:
                near = difflib.get_close_matches(name, spare, n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise RequestError(
                    f"the checkpoint has no tensor {name}, which holds {' and '.join(move.ours)}{hint}"
                )
            found[name] = there[0]
    return found


def _older(name: str) -> str:
    """What TensorFlow called the gain and the bias of a LayerNorm, and so the first checkpoints of BERT."""
    return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")


def refuse_spare(family: Family, spare: Collection[str]) -> None:
    """Raise `RequestError` if a tensor is left that no parameter of ours comes from."""
    left = sorted(set(spare) - set(family.copies))
    left = [name for name in left if not (family.unused and name.endswith(family.unused))]
    if left:
        more = f" and {len(left) - 1:,} more" if len(left) > 1 else ""
        raise RequestError(
            f"the checkpoint has {left[0]}{more}, for which a {family.model_type} of this config.json has no place; "
            "left out, it would be another model"
        )
