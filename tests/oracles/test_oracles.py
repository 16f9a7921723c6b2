"""The oracles themselves against published numbers, so that an error in them cannot pass for truth."""

import numpy as np
import pytest
from scipy.differentiate import derivative

from paribus import oracles


@pytest.mark.parametrize("name", oracles.POINTWISE)
def test_closed_form_derivatives_are_the_numerical_ones(name: str) -> None:
    x = np.linspace(-3, 3, 12)  # no zero, where relu bends
    act = oracles.POINTWISE[name]
    for f, df in ((act.value, act.first), (act.first, act.second)):
        np.testing.assert_allclose(derivative(f, x, initial_step=0.05).df, df(x), rtol=1e-7, atol=1e-7)


def test_gelu_and_silu_take_the_published_values() -> None:
    x = np.array([-1, 0.5, 1, 2])
    published = [-0.158655254, 0.345731231, 0.841344746, 1.954499736]
    np.testing.assert_allclose(oracles.POINTWISE["gelu"].value(x), published, atol=1e-9)
    np.testing.assert_allclose(oracles.POINTWISE["silu"].value(np.array([-1.2784645])), -0.2784645, atol=5e-8)


@pytest.mark.parametrize("name", oracles.FFN)
@pytest.mark.parametrize("bias", [False, True])
def test_ffn_gradients_are_the_numerical_ones(name: str, bias: bool) -> None:
    draw = np.random.default_rng(0)
    shapes = {f"{branch}.weight": (4, 3) for branch in oracles.FFN[name]} | {"down.weight": (3, 4)}
    if bias:
        shapes |= {key.replace("weight", "bias"): shape[:1] for key, shape in shapes.items()}
    w = {key: draw.standard_normal(shape) for key, shape in shapes.items()}
    x, dy = draw.standard_normal((2, 2, 3))
    gradients = oracles.ffn_gradients(name, w, x, dy)
    assert set(gradients) == {"x", *w}
    for key, gradient in gradients.items():
        step = 1e-6 * draw.standard_normal(gradient.shape)

        def loss(sign: int, key: str = key, step: oracles.Array = step) -> float:
            moved = {**w, "x": x} | {key: (w | {"x": x})[key] + sign * step}
            return float((oracles.ffn(name, moved, moved["x"]) * dy).sum())

        assert (loss(1) - loss(-1)) / 2 == pytest.approx((gradient * step).sum(), rel=1e-6)


def test_layernorm_is_rmsnorm_of_the_centred_input() -> None:
    x, w = np.random.default_rng(0).standard_normal((2, 3, 5))
    weights = {"weight": w[0]}
    centred = x - x.mean(-1, keepdims=True)
    np.testing.assert_allclose(
        oracles.layernorm(weights, x), oracles.rmsnorm(weights, centred, eps=1e-5), rtol=1e-13
    )


def test_half_split_order_reorders_as_published() -> None:
    assert oracles.half_split_order(6) == [0, 2, 4, 1, 3, 5]


@pytest.mark.parametrize(
    ("exact", "bits", "half_place"), [(1.0, 8, 2**-8), (1.99, 8, 2**-8), (3.0, 24, 2**-23)]
)
def test_one_rounding_costs_half_a_place(exact: float, bits: int, half_place: float) -> None:
    assert oracles.round_once_slack(np.array([exact]), bits)[0] == half_place
