"""Pointwise oracles against published values, and their derivatives against numerical ones."""

import numpy as np
import pytest
from scipy.differentiate import derivative
from scipy.optimize import minimize_scalar

from paribus.oracles import POINTWISE

AT = np.array([-1, 0.5, 1, 2])


@pytest.mark.parametrize("name", POINTWISE)
def test_closed_form_derivatives_are_the_numerical_ones(name: str) -> None:
    x = np.linspace(-7.3, 7.2, 30)  # no corner of any of them within a step
    act = POINTWISE[name]
    for f, df in ((act.value, act.first), (act.first, act.second)):
        found = derivative(f, x, initial_step=0.03, order=6)
        np.testing.assert_allclose(found.df, df(x), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("name", POINTWISE)
def test_nothing_overflows_and_the_far_ends_are_right(name: str) -> None:
    act, x = POINTWISE[name], np.linspace(-40, 40, 161)
    with np.errstate(over="raise", invalid="raise"):
        rows = np.array([f(x) for f in (act.value, act.first, act.second)])
    assert rows.dtype == np.float64 and np.isfinite(rows).all()
    # Far out each one is a polynomial, and its bend is gone.
    assert abs(act.second(np.array([40.0]))[0] - (2 if name == "relu2" else 0)) < 1e-13


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("gelu", [-0.158655254, 0.345731231, 0.841344746, 1.954499736]),
        ("gelu_tanh", [-0.158808009, 0.345714010, 0.841191991, 1.954597694]),
        ("gelu_quick", [-0.154204234, 0.350388437, 0.845795766, 1.935658623]),
    ],
)
def test_gelu_and_its_approximations_take_the_published_values(name: str, published: list[float]) -> None:
    np.testing.assert_allclose(POINTWISE[name].value(AT), published, atol=6e-10)


@pytest.mark.parametrize(
    ("name", "distance", "where"), [("gelu_tanh", 4.7324e-4, 2.699), ("gelu_quick", 2.0335e-2, 2.270)]
)
def test_approximations_of_gelu_are_as_far_off_as_published(name: str, distance: float, where: float) -> None:
    x = np.linspace(0, 6, 60001)
    for sign in (-1, 1):
        off = np.abs(POINTWISE[name].value(sign * x) - POINTWISE["gelu"].value(sign * x))
        assert off.max() == pytest.approx(distance, rel=2e-5)
        assert x[off.argmax()] == pytest.approx(where, abs=5e-4)


@pytest.mark.parametrize(
    ("name", "where", "least"), [("gelu", -0.7517915, -0.1699712), ("silu", -1.2784645, -0.2784645)]
)
def test_minima_are_where_they_were_computed(name: str, where: float, least: float) -> None:
    found = minimize_scalar(POINTWISE[name].value, bounds=(-3, 0), method="bounded", options={"xatol": 1e-9})
    assert found.x == pytest.approx(where, abs=1e-6)
    assert found.fun == pytest.approx(least, abs=6e-8)
    assert POINTWISE[name].first(np.array([where]))[0] == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize(
    ("name", "x", "y"),
    [
        ("relu2", [-2, 3], [0, 9]),
        ("relu6", [-1, 5, 7], [0, 5, 6]),
        ("leaky_relu", [-2, 2], [-0.02, 2]),
        ("elu", [-1, 2], [np.exp(-1) - 1, 2]),
        ("celu", [-1, 2], [np.exp(-1) - 1, 2]),
        ("selu", [-1, 2], [1.0507009873554805 * 1.6732632423543772 * (np.exp(-1) - 1), 2.101401974710961]),
        ("softplus", [0, 40], [np.log(2), 40]),
        ("sigmoid", [0, -1], [0.5, 1 / (1 + np.e)]),
        ("hardsigmoid", [-4, 0, 1.5, 4], [0, 0.5, 0.75, 1]),
        ("hardtanh", [-2, 0.3, 2], [-1, 0.3, 1]),
        ("hardswish", [-4, 0, 1.5, 4], [0, 0, 1.125, 4]),
        ("hardshrink", [-0.6, 0.4, 0.6], [-0.6, 0, 0.6]),
        ("softshrink", [-0.6, 0.4, 0.6], [-0.1, 0, 0.1]),
        ("tanhshrink", [1], [1 - np.tanh(1)]),
    ],
)
def test_definitions_hold_by_hand(name: str, x: list[float], y: list[float]) -> None:
    np.testing.assert_allclose(POINTWISE[name].value(np.array(x, dtype=float)), y, rtol=1e-14, atol=1e-15)


def test_mish_has_its_rational_form_in_e() -> None:
    at_one = POINTWISE["mish"].value(np.array([1.0]))[0]
    assert at_one == pytest.approx(((1 + np.e) ** 2 - 1) / ((1 + np.e) ** 2 + 1), rel=1e-14)


def test_selu_keeps_mean_zero_and_variance_one() -> None:
    x, weights = np.polynomial.hermite_e.hermegauss(200)
    y, density = POINTWISE["selu"].value(x), weights / weights.sum()
    assert density @ y == pytest.approx(0, abs=5e-3)  # quadrature over a corner
    assert density @ y**2 == pytest.approx(1, abs=5e-3)
