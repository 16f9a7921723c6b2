"""Rows, or single numbers, of a table by their places, with a gradient that is the same each time.

A compiler for CPUs has all threads add the gradients to their rows at once, number by number: a row that was taken
more than once is summed in another order each time, so no run would come out again, and on two threads it takes ten
times as long as one thread that adds row to row. Behind an operation that the compiler cannot look into, one does.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_OPERATIONS = torch.library.Library("paribus", "FRAGMENT")
_OPERATIONS.define("sum_by_row(Tensor x, Tensor row, SymInt rows) -> Tensor")


def _sum_by_row(x: Tensor, row_N: Tensor, rows: int) -> Tensor:
    return x.new_zeros(rows, *x.shape[1:]).index_add_(0, row_N, x)


_OPERATIONS.impl("sum_by_row", _sum_by_row, "CompositeExplicitAutograd")


def embedding(table_VD: Tensor, row: Tensor) -> Tensor:
    """The rows [..., D] of a table [V, D] that whole numbers [...] from 0 to V - 1 name, in the table's dtype.

    Compiled for a CPU, gradients are summed in at least float32 and in the order of the numbers.
    """
    return _Rows.apply(table_VD, row) if _left_to_a_compiler(table_VD) else F.embedding(row, table_VD)


def look_up(table_V: Tensor, place: Tensor) -> Tensor:
    """The numbers [...] of a table [V] at places [...] from 0 to V - 1, with gradients as in `embedding`."""
    if place.ndim == 0 or table_V.device.type != "cpu":  # one number, as `flex_attention` asks for it
        return table_V[place]
    if _left_to_a_compiler(table_V):
        return _Rows.apply(table_V, place)
    # Torch's own gradient of table[place] is added up by all threads as well.
    return table_V.index_select(0, place.flatten()).view(place.shape)


def _left_to_a_compiler(table: Tensor) -> bool:
    """Whether a compiler for CPUs would write the gradient. A sharded table is a class of its own, with its own rules."""
    return (
        torch.compiler.is_compiling() and table.device.type == "cpu" and type(table) in (Tensor, nn.Parameter)
    )


class Embedding(nn.Embedding):
    """`nn.Embedding` of V rows of D numbers, by `embedding`."""

    def __init__(self, num_embeddings: int, embedding_dim: int) -> None:
        super().__init__(num_embeddings, embedding_dim)

    def forward(self, row: Tensor) -> Tensor:
        return embedding(self.weight, row)


class _Rows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, row: Tensor) -> Tensor:
        ctx.save_for_backward(row)
        ctx.shape = table.shape
        return table[row]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (row,) = ctx.saved_tensors
        rows, *width = ctx.shape
        wide = gradient.reshape(-1, *width).to(torch.promote_types(gradient.dtype, torch.float32))
        return torch.ops.paribus.sum_by_row.default(wide, row.flatten(), rows).to(gradient.dtype), None
