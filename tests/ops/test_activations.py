"""The activation table against the papers' closed forms, published numbers and float64 autograd."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.activations import ACT2FN

from paribus.errors import RequestError
from paribus.ops.activations import ACTIVATIONS, Activation, activation
from paribus.ops.activations.smooth import swish, swish_by_beta, swish_first, swish_second
from paribus.oracles import POINTWISE, round_once_slack

ROWS = pytest.mark.parametrize("row", ACTIVATIONS.values(), ids=ACTIVATIONS.keys())
ORDERS = ("value", "first", "second")

# No zero: relu has no derivative there and any choice is right. Far tails show cancellation and overflow.
POINTS = np.concatenate([np.linspace(-6, 6, 96), [-40.0, -11.5, -1e-3, 1e-3, 11.5, 40.0]])

PUBLISHED = {
    "gelu": {-1.0: -0.158655254, 0.5: 0.345731231, 1.0: 0.841344746, 2.0: 1.954499736},
    "silu": {1.0: 0.7310585786, -1.0: -0.2689414214},
    "relu2": {-3.0: 0.0, 3.0: 9.0},
    "relu": {-3.0: 0.0, 3.0: 3.0},
    "sigmoid": {0.0: 0.5, 1.0: 0.7310585786},
    "tanh": {0.5: 0.4621171573},
    "identity": {-2.5: -2.5},
    "relu6": {-1.0: 0.0, 3.0: 3.0, 7.0: 6.0},
    "leaky_relu": {-2.0: -0.02, 2.0: 2.0},
    "hardsigmoid": {-3.5: 0.0, 0.0: 0.5, 1.5: 0.75, 4.0: 1.0},
    "hardtanh": {-2.0: -1.0, 0.25: 0.25, 2.0: 1.0},
    "hardswish": {-4.0: 0.0, 1.0: 2 / 3, 4.0: 4.0},
    "hardshrink": {-0.4: 0.0, 0.6: 0.6},
    "softshrink": {-0.4: 0.0, 0.75: 0.25, -1.0: -0.5},
    "tanhshrink": {0.5: 0.0378828427},
    "softplus": {0.0: 0.6931471806, 1.0: 1.3132616875, 30.0: 30.0000000000001},
    "gelu_tanh": {-1.0: -0.158808009, 0.5: 0.345714010, 1.0: 0.841191991, 2.0: 1.954597694},
    "gelu_quick": {-1.0: -0.154204234, 0.5: 0.350388437, 1.0: 0.845795766, 2.0: 1.935658623},
    "mish": {1.0: 0.8650983883, -1.0: -0.3034014614},
    "elu": {-1.0: -0.6321205588, 2.0: 2.0},
    "celu": {-1.0: -0.6321205588, 2.0: 2.0},
    "selu": {-1.0: -1.1113307378, 1.0: 1.0507009874},
}

#: torch's own functions, an oracle that nobody of this project wrote.
TORCH = {
    "relu": F.relu, "relu6": F.relu6, "leaky_relu": F.leaky_relu, "hardsigmoid": F.hardsigmoid,
    "hardtanh": F.hardtanh, "hardswish": F.hardswish, "hardshrink": F.hardshrink, "softshrink": F.softshrink,
    "tanhshrink": F.tanhshrink, "softplus": F.softplus, "gelu": F.gelu, "silu": F.silu, "mish": F.mish,
    "elu": F.elu, "celu": F.celu, "selu": F.selu, "sigmoid": torch.sigmoid, "tanh": torch.tanh,
    "gelu_tanh": ACT2FN["gelu_new"], "gelu_quick": ACT2FN["quick_gelu"], "relu2": ACT2FN["relu2"],
    "identity": ACT2FN["linear"],
}  # fmt: skip


def test_every_row_has_an_oracle_and_a_formula() -> None:
    assert set(ACTIVATIONS) <= set(POINTWISE), "write the new activation's closed form in src/paribus/oracles"
    assert all(row.name == name and row.formula for name, row in ACTIVATIONS.items())


@ROWS
@pytest.mark.parametrize("order", ORDERS)
def test_row_equals_closed_form_to_the_last_bits(row: Activation, order: str) -> None:
    expected = getattr(POINTWISE[row.name], order)(POINTS)
    actual = getattr(row, order)(torch.from_numpy(POINTS)).numpy()
    np.testing.assert_allclose(actual, expected, rtol=1e-13, atol=2e-15)


@ROWS
def test_row_takes_published_values(row: Activation) -> None:
    for x, expected in PUBLISHED[row.name].items():
        assert row.value(torch.tensor(x, dtype=torch.float64)).item() == pytest.approx(
            expected, abs=1e-9, rel=0
        )


@pytest.mark.parametrize(
    ("name", "x", "lowest"), [("gelu", -0.7517915, -0.1699712), ("silu", -1.2784645, -0.2784645)]
)
def test_the_minimum_lies_where_published(name: str, x: float, lowest: float) -> None:
    row, at = ACTIVATIONS[name], torch.tensor(x, dtype=torch.float64)
    assert row.value(at).item() == pytest.approx(lowest, abs=6e-8, rel=0)
    assert row.first(at).item() == pytest.approx(0, abs=1e-7)


@ROWS
def test_first_and_second_are_the_derivatives_that_autograd_finds(row: Activation) -> None:
    x = torch.from_numpy(POINTS).requires_grad_()

    def derivative(y: Tensor) -> Tensor:
        if not y.requires_grad:
            return torch.zeros_like(x)
        (grad,) = torch.autograd.grad(
            y.sum(), x, create_graph=True, allow_unused=True, materialize_grads=True
        )
        return grad

    torch.testing.assert_close(derivative(row.value(x)), row.first(x), rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(derivative(row.first(x)), row.second(x), rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(derivative(derivative(row.value(x))), row.second(x), rtol=1e-12, atol=1e-14)


@ROWS
@pytest.mark.parametrize(("dtype", "bits"), [(torch.float32, 24), (torch.bfloat16, 8)])
def test_value_in_low_precision_is_within_a_rounding_of_the_exact_one(
    row: Activation, dtype: torch.dtype, bits: int
) -> None:
    x = torch.linspace(-4, 4, 401).to(dtype)
    exact = POINTWISE[row.name].value(x.double().numpy())
    actual = row.value(x)
    assert actual.dtype == dtype
    # float32 evaluation of erf and exp costs a few places of its own, and 1 + erf cancels in the left tail;
    # in bfloat16 only the rounding shows.
    places = 8 if dtype == torch.float32 else 1.02
    slack = places * round_once_slack(exact, bits) + 2.0**-22 * np.abs(x.double().numpy())
    assert (np.abs(actual.double().numpy() - exact) <= slack).all()


@ROWS
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_row_keeps_shape_and_dtype(row: Activation, order: str, dtype: torch.dtype) -> None:
    x = torch.randn(2, 0, 3).to(dtype), torch.linspace(-2, 2, 6).to(dtype).reshape(3, 2).T
    for given in x:
        result = getattr(row, order)(given)
        assert (result.shape, result.dtype) == (given.shape, dtype)


@ROWS
def test_value_and_gradient_are_those_of_torch_or_transformers(row: Activation) -> None:
    results = []
    for function in (row.value, TORCH[row.name]):
        x = torch.from_numpy(POINTS).requires_grad_()
        y = function(x)
        results.append((y.detach(), *torch.autograd.grad(y.sum(), x)))
    # torch's softplus is x above 20, and its gradient of hardsigmoid is 1/6 in float32 whatever the dtype.
    loose = {"softplus": 3e-9, "hardsigmoid": 1e-8}.get(row.name, 1e-12)
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=loose)


def test_torch_has_every_row() -> None:
    assert set(TORCH) == set(ACTIVATIONS)


@pytest.mark.parametrize(
    ("name", "constants", "peer"),
    [
        ("leaky_relu", {"slope": 0.3}, lambda x: F.leaky_relu(x, 0.3)),
        ("elu", {"alpha": 0.7}, lambda x: F.elu(x, 0.7)),
        ("celu", {"alpha": 0.7}, lambda x: F.celu(x, 0.7)),
        ("hardshrink", {"bound": 1.5}, lambda x: F.hardshrink(x, 1.5)),
        ("softshrink", {"bound": 1.5}, lambda x: F.softshrink(x, 1.5)),
    ],
)
def test_constants_reach_value_and_derivatives(
    name: str, constants: dict[str, float], peer: Callable[[Tensor], Tensor]
) -> None:
    row, x = ACTIVATIONS[name], torch.from_numpy(POINTS).requires_grad_()
    assert set(constants) == set(row.constants)
    y = row.value(x, **constants)
    torch.testing.assert_close(y, peer(x), rtol=1e-12, atol=1e-14)
    (first,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    torch.testing.assert_close(row.first(x, **constants), first, rtol=1e-12, atol=1e-14)
    if first.requires_grad:
        (second,) = torch.autograd.grad(first.sum(), x)
        torch.testing.assert_close(row.second(x, **constants), second, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0, 1.702, -2.0])
def test_swish_has_its_derivatives_by_x_and_by_beta(beta: float) -> None:
    x = torch.from_numpy(POINTS).requires_grad_()
    b = torch.full_like(x, beta, requires_grad=True)
    y = swish(x, b)
    first, by_beta = torch.autograd.grad(y.sum(), (x, b), create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    torch.testing.assert_close(swish_first(x, beta), first, rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(swish_second(x, beta), second, rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(swish_by_beta(x, beta), by_beta, rtol=1e-11, atol=1e-12)


def test_swish_has_its_limits() -> None:
    x = torch.from_numpy(POINTS)
    assert torch.equal(swish(x, 0.0), x / 2)
    torch.testing.assert_close(swish(x, 1.0), F.silu(x), rtol=1e-13, atol=1e-15)
    torch.testing.assert_close(swish(x, 1e6), F.relu(x), rtol=1e-12, atol=1e-12)
    assert (swish(x, 1e6) - x.square()).abs().max() > 1  # and not x^2


def test_unknown_activation_offers_the_nearest() -> None:
    with pytest.raises(RequestError, match="gelu"):
        activation("gleu")


@pytest.mark.parametrize("x", [-6e4, -300.0, 300.0, 6e4])
def test_far_out_gelu_is_straight_in_float16_too(x: float) -> None:
    at = torch.tensor(x, dtype=torch.float16)
    assert ACTIVATIONS["gelu"].second(at) == 0
