"""Tensors that are constant along their diagonals, and the sums along them."""

import pytest
import torch

from paribus.ops.diagonals import spread_diagonals, sum_diagonals

from ..parts.comparison import tokens

#: Rows and columns.
SIZES = [(1, 1), (1, 4), (4, 1), (3, 5), (5, 3), (70, 3)]


@pytest.mark.parametrize(("rows", "columns"), [*SIZES, (64, 40)])
def test_each_diagonal_holds_its_number(rows: int, columns: int) -> None:
    x = tokens(2, rows + columns - 1).detach()
    spread = spread_diagonals(x, columns=columns)
    assert spread.shape == (2, rows, columns)
    for row in range(rows):
        for column in range(columns):
            assert torch.equal(spread[:, row, column], x[:, rows - 1 - row + column])


@pytest.mark.parametrize(("rows", "columns"), [*SIZES, (64, 40)])
def test_sums_go_along_the_diagonals(rows: int, columns: int) -> None:
    x = tokens(2, rows, columns).detach()
    expected = [x.diagonal(at, 1, 2).sum(-1) for at in range(1 - rows, columns)]
    torch.testing.assert_close(sum_diagonals(x), torch.stack(expected, dim=-1))


@pytest.mark.parametrize(("rows", "columns"), [*SIZES, (64, 8)])
def test_gradients_of_both_orders_are_the_numerical_ones(rows: int, columns: int) -> None:
    x = tokens(2, rows + columns - 1)

    def squared(x: torch.Tensor) -> torch.Tensor:
        return spread_diagonals(x, columns=columns) ** 2

    assert torch.autograd.gradcheck(squared, (x,))
    assert torch.autograd.gradgradcheck(squared, (x,))
