"""Products in the dtype of the input, from weights that stay in theirs."""

import pytest
import torch

from paribus.ops.linear import Linear, linear


def test_linear_equals_the_written_out_product() -> None:
    x, w, b = torch.randn(2, 3, 5).double(), torch.randn(4, 5).double(), torch.randn(4).double()
    torch.testing.assert_close(linear(x, w), torch.einsum("bti,oi->bto", x, w))
    torch.testing.assert_close(linear(x, w, b), torch.einsum("bti,oi->bto", x, w) + b)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bias", [False, True])
def test_result_has_the_dtype_of_the_input_and_gradients_that_of_the_weights(
    dtype: torch.dtype, bias: bool
) -> None:
    layer = Linear(5, 3, bias=bias)
    x = torch.randn(2, 5, dtype=dtype, requires_grad=True)
    y = layer(x)
    y.sum().backward()
    assert (y.dtype, y.shape) == (dtype, (2, 3))
    assert x.grad is not None and x.grad.dtype == dtype
    assert all(p.dtype == p.grad.dtype == torch.float32 for p in layer.parameters() if p.grad is not None)
    assert all(p.grad is not None for p in layer.parameters())


def test_bfloat16_product_is_that_of_the_rounded_weights() -> None:
    layer = Linear(5, 3, bias=True)
    x = torch.randn(2, 5).bfloat16()
    exact = x.double() @ layer.weight.bfloat16().double().T + layer.bias.bfloat16().double()
    torch.testing.assert_close(layer(x).double(), exact, rtol=2**-8, atol=2**-8)


def test_linear_has_no_bias_unless_asked_for() -> None:
    assert Linear(2, 2).bias is None
    assert Linear(2, 2, bias=True).bias is not None
