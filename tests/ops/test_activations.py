"""The activation table against the papers' closed forms, published numbers and float64 autograd."""

import numpy as np
import pytest
import torch
from torch import Tensor

from paribus.errors import RequestError
from paribus.ops.activations import ACTIVATIONS, Activation, activation
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
}


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


def test_swish_is_silu() -> None:
    assert activation("swish") is activation("silu") is ACTIVATIONS["silu"]


def test_unknown_activation_offers_the_nearest() -> None:
    with pytest.raises(RequestError, match="gelu"):
        activation("gleu")
