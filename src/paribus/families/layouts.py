"""How several matrices of ours stand in one of theirs.

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
    """Takes one tensor of theirs apart into ours, with as many rows each as `rows` says, and puts it together."""

    def split(self, tensor: Tensor, rows: Sequence[int], config: ModelConfig) -> list[Tensor]: ...

    def join(self, tensors: Sequence[Tensor], config: ModelConfig) -> Tensor: ...


@dataclass(frozen=True)
class Rows:
    """One after the other: all rows of the first, then all of the second."""

    def split(self, tensor: Tensor, rows: Sequence[int], config: ModelConfig) -> list[Tensor]:
        return list(tensor.split(list(rows)))

    def join(self, tensors: Sequence[Tensor], config: ModelConfig) -> Tensor:
        return torch.cat(list(tensors)) if len(tensors) > 1 else tensors[0]


@dataclass(frozen=True)
class Groups:
    """Queries, keys and values of one group of heads after the other: [G, H / G + 2, K] rows.

    With as many key heads as heads that is q, k and v of each head in turn (GPT-NeoX, BLOOM); with one it is all
    queries, then the key, then the value (the first Falcon).
    """

    def split(self, tensor: Tensor, rows: Sequence[int], config: ModelConfig) -> list[Tensor]:
        groups, each = num_kv_heads(config), config.head_dim
        parts = tensor.unflatten(0, (groups, -1, each)).split([config.num_heads // groups, 1, 1], dim=1)
        return [part.flatten(0, 2) for part in parts]

    def join(self, tensors: Sequence[Tensor], config: ModelConfig) -> Tensor:
        groups, each = num_kv_heads(config), config.head_dim
        return torch.cat([part.unflatten(0, (groups, -1, each)) for part in tensors], dim=1).flatten(0, 2)


@dataclass(frozen=True)
class Transposed:
    """The rows of another layout as columns: [in, out], as GPT-2 keeps its matrices."""

    inner: Layout = Rows()

    def split(self, tensor: Tensor, rows: Sequence[int], config: ModelConfig) -> list[Tensor]:
        return self.inner.split(_turned(tensor), rows, config)

    def join(self, tensors: Sequence[Tensor], config: ModelConfig) -> Tensor:
        return _turned(self.inner.join(tensors, config))


def _turned(tensor: Tensor) -> Tensor:
    return tensor.T if tensor.ndim == 2 else tensor
