"""What compiled code makes once is what eager code makes, forward and backward."""

import pytest
import torch
from torch import Tensor
from torch._inductor.utils import run_fw_bw_and_get_code

from paribus.ops.once import after, gradient_once, once

pytestmark = pytest.mark.usefixtures("fresh_compiler")


def both(x: Tensor) -> Tensor:
    return once(x.cos()) * gradient_once(x * 2) + gradient_once(x.sin()).square()


def test_eager_code_gets_the_tensor_itself() -> None:
    x = torch.ones(3)
    assert once(x) is x and gradient_once(x) is x and after([torch.zeros(1)], x)[0] is x


def test_compiled_values_and_gradients_are_the_eager_ones() -> None:
    x = torch.linspace(-1, 1, 7, dtype=torch.float64, requires_grad=True)
    compiled = torch.compile(both, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), both(x))
    weights = torch.arange(7.0, dtype=torch.float64)
    (actual,) = torch.autograd.grad(compiled(x), x, weights)
    (expected,) = torch.autograd.grad(both(x), x, weights)
    torch.testing.assert_close(actual, expected)


def test_what_is_later_is_passed_on_whole_and_as_copies() -> None:
    x, y = torch.arange(6.0).view(2, 3), torch.arange(2)
    compiled = torch.compile(lambda x, y: after([x.exp()], x, y, -x), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x, y), (x, y, -x))
    assert compiled(x, y)[0].data_ptr() != x.data_ptr()


def test_a_gradient_is_refused_where_none_passes() -> None:
    x = torch.ones(3, requires_grad=True)
    with pytest.raises(AssertionError, match="no gradient"):
        after([x], x)
    with torch.no_grad():
        assert after([x], x)[0] is x


@pytest.mark.slow
def test_a_gradient_that_many_read_is_written_once_and_not_copied() -> None:
    def read_often(x: Tensor) -> Tensor:
        y = gradient_once(x.sin())
        return torch.cat([y[:2] @ y[:2].t(), y[2:4] @ y[2:4].t()]).sum()

    x = torch.randn(4, 4, requires_grad=True)
    _, code = run_fw_bw_and_get_code(lambda: torch.compile(read_often, fullgraph=True)(x))
    (backward,) = (each for each in code if "paribus.written" in each)
    assert "paribus.once" not in backward and ".copy_(" not in backward


def test_the_operations_keep_torchs_rules() -> None:
    ops = torch.ops.paribus
    torch.library.opcheck(ops.once.default, (torch.randn(2, 3),))
    torch.library.opcheck(ops.once.default, (torch.randn(3, 2).t(),))
    torch.library.opcheck(ops.after.default, ([torch.zeros(1)], torch.randn(3, 2)))
    torch.library.opcheck(
        ops.after.three, ([torch.zeros(1)], torch.randn(3, 2), torch.arange(3), torch.ones(1))
    )
    torch.library.opcheck(ops.written.default, (torch.randn(3, 2),))
