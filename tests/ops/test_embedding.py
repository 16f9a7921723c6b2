"""Rows of a table: compiled, with the gradient of eager code, whatever rows are taken more than once."""

import pytest
import torch
from torch import Tensor, nn
from torch._inductor.utils import run_fw_bw_and_get_code

from paribus.ops.embedding import Embedding, embedding, look_up

pytestmark = pytest.mark.usefixtures("fresh_compiler")

ROWS = torch.tensor([[3, 0, 3, 6], [6, 6, 1, 3]])


def table(dtype: torch.dtype = torch.float64) -> Tensor:
    made = torch.randn(7, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return made.to(dtype).requires_grad_()


@pytest.mark.parametrize("row", [ROWS, ROWS[0], ROWS.int(), ROWS.t()])
def test_compiled_rows_and_gradient_are_the_eager_ones(row: Tensor) -> None:
    compiled = torch.compile(embedding, fullgraph=True, backend="aot_eager")
    weights = torch.linspace(-1, 1, row.numel() * 5, dtype=torch.float64).view(*row.shape, 5)
    of = table()
    assert torch.equal(compiled(of, row), of[row])
    (actual,) = torch.autograd.grad(compiled(of, row), of, weights)
    (expected,) = torch.autograd.grad(of[row], of, weights)
    torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize("compiled", [False, True])
def test_numbers_are_looked_up_with_the_gradient_of_indexing(compiled: bool) -> None:
    of = table()[:, 0].detach().requires_grad_()
    run = torch.compile(look_up, fullgraph=True, backend="aot_eager") if compiled else look_up
    weights = torch.linspace(-1, 1, 8, dtype=torch.float64).view(2, 4)
    assert torch.equal(run(of, ROWS), of[ROWS])
    (actual,) = torch.autograd.grad(run(of, ROWS), of, weights)
    (expected,) = torch.autograd.grad(of[ROWS], of, weights)
    torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize("of_rows", [False, True])  # torch itself rounds each sum of single numbers
def test_a_gradient_in_bfloat16_is_rounded_once(of_rows: bool) -> None:
    of = table(torch.bfloat16) if of_rows else table(torch.bfloat16)[:, 0].detach().requires_grad_()
    compiled = torch.compile(embedding if of_rows else look_up, fullgraph=True, backend="aot_eager")
    weights = torch.rand(1000, *of.shape[1:], generator=torch.Generator().manual_seed(1)).bfloat16()
    (actual,) = torch.autograd.grad(compiled(of, torch.zeros(1000, dtype=torch.long)), of, weights)
    assert torch.equal(actual[0], weights.double().sum(0).bfloat16()) and not actual[1:].any()


def test_the_layer_is_torchs_but_for_its_gradient() -> None:
    torch.manual_seed(0)
    ours = Embedding(7, 5)
    torch.manual_seed(0)
    torchs = nn.Embedding(7, 5)
    assert torch.equal(ours(ROWS), torchs(ROWS)) and ours.state_dict().keys() == torchs.state_dict().keys()


def test_the_operation_keeps_torchs_rules() -> None:
    operation = torch.ops.paribus.sum_by_row.default
    torch.library.opcheck(operation, (torch.randn(4, 3), torch.tensor([2, 0, 2, 2]), 5))
    torch.library.opcheck(operation, (torch.randn(3, 4).t(), torch.tensor([2, 0, 2, 2]), 5))
    torch.library.opcheck(operation, (torch.randn(4), torch.tensor([2, 0, 2, 2]), 5))


@pytest.mark.slow
def test_no_thread_adds_where_another_may() -> None:
    _, code = run_fw_bw_and_get_code(
        lambda: torch.compile(lambda of: embedding(of, ROWS).sin().sum(), fullgraph=True)(table())
    )
    assert any("sum_by_row" in each for each in code) and "atomic_add" not in "".join(code)
