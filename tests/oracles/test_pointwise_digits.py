"""Smooth pointwise oracles against 400 digits, from far tails to next to zero: relative, not absolute.

The definitions here are naive on purpose; with so many digits nothing cancels.
"""

from collections.abc import Callable

import mpmath
import numpy as np
import pytest

from paribus.oracles import POINTWISE

Number = mpmath.mpf
#: x -> f(x). Constants that a paper prints as decimals are those decimals.
EXACT: dict[str, Callable[[Number], Number]] = {
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "tanh": mpmath.tanh,
    "tanhshrink": lambda x: x - mpmath.tanh(x),
    "softplus": lambda x: mpmath.log(1 + mpmath.exp(x)),
    "mish": lambda x: x * mpmath.tanh(mpmath.log(1 + mpmath.exp(x))),
    "silu": lambda x: x / (1 + mpmath.exp(-x)),
    "swish": lambda x: x / (1 + mpmath.exp(-x)),
    "gelu": lambda x: x / 2 * mpmath.erfc(-x / mpmath.sqrt(2)),
    "gelu_tanh": lambda x: (
        x / 2 * (1 + mpmath.tanh(mpmath.sqrt(2 / mpmath.pi) * (x + mpmath.mpf("0.044715") * x**3)))
    ),
    "gelu_quick": lambda x: x / (1 + mpmath.exp(-mpmath.mpf("1.702") * x)),
    "elu": lambda x: x if x > 0 else mpmath.exp(x) - 1,
    "celu": lambda x: x if x > 0 else mpmath.exp(x) - 1,
    # torch's constants, to more places than a float has.
    "selu": lambda x: (
        mpmath.mpf("1.0507009873554804934193349852946")
        * (x if x > 0 else mpmath.mpf("1.6732632423543772848170429916717") * (mpmath.exp(x) - 1))
    ),
}
POSITIVE = [1e-8, 1e-3, 0.3, 1, 2.2, 5, 9, 12.3, 20, 30, 40]
X = np.array([-x for x in reversed(POSITIVE)] + POSITIVE)


def exact(name: str, order: int) -> list[Number]:
    """The derivative of that order at each of X; symmetric differences over 1e-120 are right to 100 digits."""
    f = EXACT[name]
    with mpmath.workdps(400):
        h, at = mpmath.mpf(10) ** -120, [mpmath.mpf(float(x)) for x in X]
        if order == 0:
            return [f(x) for x in at]
        if order == 1:
            return [(f(x + h) - f(x - h)) / (2 * h) for x in at]
        return [(f(x + h) - 2 * f(x) + f(x - h)) / h**2 for x in at]


def test_every_smooth_function_is_held_to_its_digits() -> None:
    piecewise = {"identity", "relu", "relu2", "relu6", "leaky_relu"}
    piecewise |= {"hardsigmoid", "hardtanh", "hardswish", "hardshrink", "softshrink"}
    assert set(POINTWISE) == {*EXACT, *piecewise}


@pytest.mark.parametrize("order", range(3), ids=["value", "first", "second"])
@pytest.mark.parametrize("name", EXACT)
def test_no_digits_are_lost_anywhere(name: str, order: int) -> None:
    act = POINTWISE[name]
    found = (act.value, act.first, act.second)[order](X)
    for x, y, true in zip(X, found, exact(name, order), strict=True):
        if abs(true) < 1e-100:  # what differences over 1e-120 cannot tell from zero
            assert abs(y) < 1e-100, x
        else:
            # exp(-x^2 / 2) at x = 20 turns one rounding of its exponent into 200 of its own.
            assert abs(mpmath.mpf(float(y)) - true) <= 2e-13 * abs(true), (x, y, true)
