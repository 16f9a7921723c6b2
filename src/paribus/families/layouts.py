"""How matrices of ours stand in those of a checkpoint, where that is not one for one.

Matrices are [out, in] and biases [out], so all of it is about rows. H heads, G key and value heads, K head_dim.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from paribus.families.meaning import num_kv_heads
from paribus.model.config import ModelConfig


class Layout(Protocol):
    """Makes tensors of ours, with as many rows each as `rows` says, from tensors of theirs, and back."""

    def ours(self, theirs: Sequence[Tensor], rows: Sequence[int], config: ModelConfig) -> list[Tensor]: ...

    def theirs(self, ours: Sequence[Tensor], config: ModelConfig) -> list[Tensor]: ...


@dataclass(frozen=True)
class Rows:
    """In one of theirs, one after the other: all rows of the first, then all of the second."""

    def ours(self, theirs: Sequence[Tensor], rows: Sequence[int], config: ModelConfig) -> list[Tensor]:
        return list(theirs[0].split(list(rows)))

    def theirs(self, ours: Sequence[Tensor], config: ModelConfig) -> list[Tensor]:
        return [torch.cat(list(ours)) if len(ours) > 1 else ours[0]]


@dataclass(frozen=True)
class Groups:
    """In one of theirs, queries, keys and values of one group of heads after the other: [G, H / G + 2, K] rows.

    With as many key heads as heads that is q, k and v of each head in turn (GPT-NeoX, BLOOM); with one it is all
    queries, then the key, then the value (the first Falcon).
    """

    def ours(self, theirs: Sequence[Tensor], rows: Sequence[int], config: ModelConfig) -> list[Tensor]:
        groups, each = num_kv_heads(config), config.head_dim
        parts = theirs[0].unflatten(0, (groups, -1, each)).split([config.num_heads // groups, 1, 1], dim=1)
        return [part.flatten(0, 2) for part in parts]

    def theirs(self, ours: Sequence[Tensor], config: ModelConfig) -> list[Tensor]:
        groups, each = num_kv_heads(config), config.head_dim
        return [torch.cat([part.unflatten(0, (groups, -1, each)) for part in ours], dim=1).flatten(0, 2)]


@dataclass(frozen=True)
class Columns:
    """The rows of ours as columns of one of theirs: [in, out], as GPT-2 keeps its matrices."""

    def ours(self, theirs: Sequence[Tensor], rows: Sequence[int], config: ModelConfig) -> list[Tensor]:
        return Rows().ours([_turned(theirs[0])], rows, config)

    def theirs(self, ours: Sequence[Tensor], config: ModelConfig) -> list[Tensor]:
        return [_turned(Rows().theirs(ours, config)[0])]


@dataclass(frozen=True)
class OneAHead:
    """One of ours [heads · K], a tensor of theirs [K] for each head."""

    def ours(self, theirs: Sequence[Tensor], rows: Sequence[int], config: ModelConfig) -> list[Tensor]:
        return [torch.cat(list(theirs))]

    def theirs(self, ours: Sequence[Tensor], config: ModelConfig) -> list[Tensor]:
        return list(ours[0].unflatten(0, (-1, config.head_dim)).unbind())


@dataclass(frozen=True)
class ByHead:
    """One of ours [heads · K], which theirs has as [heads, K]."""

    def ours(self, theirs: Sequence[Tensor], rows: Sequence[int], config: ModelConfig) -> list[Tensor]:
        return [theirs[0].flatten()]

    def theirs(self, ours: Sequence[Tensor], config: ModelConfig) -> list[Tensor]:
        return [ours[0].unflatten(0, (-1, config.head_dim))]


def _turned(tensor: Tensor) -> Tensor:
    return tensor.T if tensor.ndim == 2 else tensor
