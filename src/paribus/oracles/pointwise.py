"""Pointwise functions with their first two derivatives in closed form, at torch's default constants.

Stable for |x| <= 40, where a naive form overflows or cancels. At a corner the derivative is that of one side.
Softplus is exact everywhere; torch gives x above 20, which is up to 2.1e-9 less.
"""

from dataclasses import dataclass
from math import factorial, pi, sqrt

import numpy as np
from scipy.special import erfc, expit, ndtr

from paribus.oracles.arrays import Array, Function


@dataclass(frozen=True)
class Pointwise:
    """A function of one number with its first and second derivative."""

    value: Function
    first: Function
    second: Function


def _density(x: Array) -> Array:
    return np.exp(-x * x / 2) / sqrt(2 * pi)


def _softplus(x: Array) -> Array:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _bump(x: Array) -> Array:
    """sigma'."""
    return expit(x) * expit(-x)


def _sigmoid_second(x: Array) -> Array:
    """sigma(-x) - sigma(x) = -tanh(x / 2), which keeps its digits near zero."""
    return -_bump(x) * np.tanh(x / 2)


def _tanhshrink(x: Array) -> Array:
    """x - tanh x; near zero, where that cancels, as (x cosh x - sinh x) / cosh x by its series of like signs."""
    small = np.clip(x, -1, 1)
    series = sum(2 * k * small ** (2 * k + 1) / factorial(2 * k + 1) for k in range(1, 12))
    return np.where(np.abs(x) < 1, series / np.cosh(small), x - np.tanh(x))


def _mish_first(x: Array) -> Array:
    p = _softplus(x)
    return np.tanh(p) + x * expit(x) / np.cosh(p) ** 2


def _mish_second(x: Array) -> Array:
    p = _softplus(x)
    sech2 = np.cosh(p) ** -2
    return 2 * sech2 * expit(x) + x * (sech2 * _bump(x) - 2 * np.tanh(p) * sech2 * expit(x) ** 2)


def _cubic(x: Array) -> Array:
    return sqrt(2 / pi) * (x + 0.044715 * x**3)


def _cubic_first(x: Array) -> Array:
    return sqrt(2 / pi) * (1 + 3 * 0.044715 * x**2)


def _gelu_tanh_second(x: Array) -> Array:
    """(1 + tanh u) / 2 = sigma(2u), by the product rule twice."""
    u, du, ddu = 2 * _cubic(x), 2 * _cubic_first(x), 2 * sqrt(2 / pi) * 6 * 0.044715 * x
    bend = _bump(u) * (expit(-u) - expit(u))
    return 2 * _bump(u) * du + x * (bend * du**2 + _bump(u) * ddu)


#: Klambauer et al. 2017, equation 14: the fixed point of mean 0 and variance 1.
_SELU_ALPHA = -sqrt(2 / pi) / (erfc(1 / sqrt(2)) * np.exp(1 / 2) - 1)
_SELU_LAMBDA = (
    (1 - erfc(1 / sqrt(2)) * sqrt(np.e))
    * sqrt(2 * pi)
    / sqrt(
        2 * erfc(sqrt(2)) * np.e**2
        + pi * erfc(1 / sqrt(2)) ** 2 * np.e
        - 2 * (2 + pi) * erfc(1 / sqrt(2)) * sqrt(np.e)
        + pi
        + 2
    )
)

#: sigma' = sigma (1 - sigma) = sigma(x) sigma(-x), which does not cancel for large x; tanh' = 1 / cosh^2;
#: GELU = x Phi, so GELU' = Phi + x phi and GELU'' = (2 - x^2) phi; Swish = x sigma by the product rule.
POINTWISE: dict[str, Pointwise] = {
    "identity": Pointwise(lambda x: x, np.ones_like, np.zeros_like),
    "sigmoid": Pointwise(expit, _bump, _sigmoid_second),
    "tanh": Pointwise(np.tanh, lambda x: np.cosh(x) ** -2, lambda x: -2 * np.tanh(x) * np.cosh(x) ** -2),
    "relu": Pointwise(lambda x: np.where(x > 0, x, 0.0), lambda x: np.where(x > 0, 1.0, 0.0), np.zeros_like),
    "relu2": Pointwise(
        lambda x: np.where(x > 0, x * x, 0.0),
        lambda x: np.where(x > 0, 2 * x, 0.0),
        lambda x: np.where(x > 0, 2.0, 0.0),
    ),
    "gelu": Pointwise(
        lambda x: x * ndtr(x), lambda x: ndtr(x) + x * _density(x), lambda x: (2 - x * x) * _density(x)
    ),
    "silu": Pointwise(
        lambda x: x * expit(x),
        lambda x: expit(x) + x * expit(x) * expit(-x),
        lambda x: expit(x) * expit(-x) * (2 + x * (expit(-x) - expit(x))),
    ),
    "relu6": Pointwise(
        lambda x: np.clip(x, 0, 6), lambda x: np.where((x > 0) & (x < 6), 1.0, 0.0), np.zeros_like
    ),
    "leaky_relu": Pointwise(
        lambda x: np.where(x > 0, x, x / 100), lambda x: np.where(x > 0, 1.0, 1 / 100), np.zeros_like
    ),
    "hardsigmoid": Pointwise(
        lambda x: np.clip((x + 3) / 6, 0, 1), lambda x: np.where(np.abs(x) < 3, 1 / 6, 0.0), np.zeros_like
    ),
    "hardtanh": Pointwise(
        lambda x: np.clip(x, -1, 1), lambda x: np.where(np.abs(x) < 1, 1.0, 0.0), np.zeros_like
    ),
    "hardswish": Pointwise(
        lambda x: np.select([x <= -3, x >= 3], [0 * x, x], x * (x + 3) / 6),
        lambda x: np.select([x <= -3, x >= 3], [0 * x, np.ones_like(x)], (2 * x + 3) / 6),
        lambda x: np.where(np.abs(x) < 3, 1 / 3, 0.0),
    ),
    "hardshrink": Pointwise(
        lambda x: np.where((x > 0.5) | (x < -0.5), x, 0.0),
        lambda x: np.where((x > 0.5) | (x < -0.5), 1.0, 0.0),
        np.zeros_like,
    ),
    "softshrink": Pointwise(
        lambda x: np.select([x > 0.5, x < -0.5], [x - 0.5, x + 0.5], 0 * x),
        lambda x: np.where((x > 0.5) | (x < -0.5), 1.0, 0.0),
        np.zeros_like,
    ),
    "tanhshrink": Pointwise(
        _tanhshrink,
        lambda x: np.tanh(x) ** 2,
        lambda x: 2 * np.tanh(x) / np.cosh(x) ** 2,
    ),
    "softplus": Pointwise(_softplus, expit, _bump),
    "mish": Pointwise(lambda x: x * np.tanh(_softplus(x)), _mish_first, _mish_second),
    "gelu_tanh": Pointwise(
        lambda x: x * expit(2 * _cubic(x)),
        lambda x: expit(2 * _cubic(x)) + 2 * x * _bump(2 * _cubic(x)) * _cubic_first(x),
        _gelu_tanh_second,
    ),
    "gelu_quick": Pointwise(
        lambda x: x * expit(1.702 * x),
        lambda x: expit(1.702 * x) + 1.702 * x * _bump(1.702 * x),
        lambda x: 1.702 * _bump(1.702 * x) * (2 + 1.702 * x * (1 - 2 * expit(1.702 * x))),
    ),
    "elu": Pointwise(
        lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
        lambda x: np.where(x > 0, 1.0, np.exp(np.minimum(x, 0))),
        lambda x: np.where(x > 0, 0.0, np.exp(np.minimum(x, 0))),
    ),
    "celu": Pointwise(
        lambda x: np.maximum(x, 0) + np.minimum(0, np.expm1(np.minimum(x, 0))),
        lambda x: np.where(x > 0, 1.0, np.exp(np.minimum(x, 0))),
        lambda x: np.where(x > 0, 0.0, np.exp(np.minimum(x, 0))),
    ),
    "selu": Pointwise(
        lambda x: _SELU_LAMBDA * np.where(x > 0, x, _SELU_ALPHA * np.expm1(np.minimum(x, 0))),
        lambda x: _SELU_LAMBDA * np.where(x > 0, 1.0, _SELU_ALPHA * np.exp(np.minimum(x, 0))),
        lambda x: _SELU_LAMBDA * np.where(x > 0, 0.0, _SELU_ALPHA * np.exp(np.minimum(x, 0))),
    ),
}
#: SiLU is Swish at beta 1.
POINTWISE["swish"] = POINTWISE["silu"]
