"""Pointwise functions with their first two derivatives in closed form."""

from dataclasses import dataclass
from math import pi, sqrt

import numpy as np
from scipy.special import expit, ndtr

from paribus.oracles.arrays import Array, Function


@dataclass(frozen=True)
class Pointwise:
    """A function of one number with its first and second derivative."""

    value: Function
    first: Function
    second: Function


def _density(x: Array) -> Array:
    return np.exp(-x * x / 2) / sqrt(2 * pi)


#: sigma' = sigma (1 - sigma) = sigma(x) sigma(-x), which does not cancel for large x; tanh' = 1 / cosh^2;
#: GELU = x Phi, so GELU' = Phi + x phi and GELU'' = (2 - x^2) phi; Swish = x sigma by the product rule.
POINTWISE: dict[str, Pointwise] = {
    "identity": Pointwise(lambda x: x, np.ones_like, np.zeros_like),
    "sigmoid": Pointwise(
        expit, lambda x: expit(x) * expit(-x), lambda x: expit(x) * expit(-x) * (expit(-x) - expit(x))
    ),
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
}
