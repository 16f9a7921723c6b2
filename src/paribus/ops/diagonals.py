"""A tensor whose diagonals hold one number each: made from these numbers, and summed up to them again.

Each row is the vector of numbers seen through a window that has moved by one place, so none is looked up. For the
gradient autograd would add one number after the other to its place. Here rows are padded, and the memory is read as
rows that are a little shorter: each then stands so many places further on, and what was a diagonal is a column.

Shapes: any leading axes, T rows, S columns.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from paribus.ops.transformed import goes_backwards

#: Rows that are summed at a time: few enough to stay in the cache, and their padding is small beside them.
_ROWS = 32


def spread_diagonals(x: Tensor, *, columns: int) -> Tensor:
    """[..., T, S] of x [..., T + S - 1]: row t, column s holds x[T - 1 - t + s]. `columns` is S."""
    if isinstance(columns, torch.SymInt):  # a length that `torch.export` leaves open, as `unfold` cannot
        rows = x.shape[-1] - columns + 1
        row, column = (torch.arange(count, device=x.device) for count in (rows, columns))
        return x[..., row.flip(0)[:, None] + column]
    return (_Spread.apply if goes_backwards() else _Spread.forward)(x, columns)


def sum_diagonals(x: Tensor) -> Tensor:
    """[..., T + S - 1] of x [..., T, S]: the sum of each diagonal, from the lower left corner to the upper right."""
    *leading, rows, columns = x.shape
    blocks = -(-rows // _ROWS)
    last_first = F.pad(x.flip(-2), (0, 0, 0, blocks * _ROWS - rows))
    summed = _sum_shifted(last_first.reshape(-1, _ROWS, columns), by=1)
    whole = _sum_shifted(summed.reshape(-1, blocks, summed.shape[-1]), by=_ROWS)
    return whole[:, : rows + columns - 1].reshape(*leading, -1)


def _sum_shifted(x_NRC: Tensor, *, by: int) -> Tensor:
    """[N, (R - 1) by + C]: the sum of the rows, each moved `by` places to the right of the one before it."""
    batch, rows, columns = x_NRC.shape
    width = (rows - 1) * by + columns
    padded = F.pad(x_NRC, (0, rows * by))
    # Not a reshape: a compiler would work out again for each number where in x it came from.
    moved = padded.as_strided((batch, rows, width), (rows * (width + by), width, 1))
    return moved.sum(dim=1)


class _Spread(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, columns: int) -> Tensor:
        return x.unfold(-1, columns, 1).flip(-2)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, int], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return sum_diagonals(gradient), None
