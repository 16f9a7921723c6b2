"""Activations with parameters, and those that act across features."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import expit

from paribus.oracles.arrays import Array, Weights
from paribus.oracles.pointwise import POINTWISE, Function


def _pointwise(value: Function) -> Callable[..., Array]:
    return lambda w, x: value(x)


def swish(w: Weights, x: Array, *, beta: float = 1.0, **_: Any) -> Array:
    """x sigma(beta x), with the learned beta if there is one."""
    b = w.get("beta", np.array(beta))
    return x / (1 + np.exp(-np.clip(b * x, -700, 700)))


def prelu(w: Weights, x: Array, **_: Any) -> Array:
    """x above zero, slope x below."""
    return np.maximum(x, 0) + w["slope"] * np.minimum(x, 0)


def rrelu_in_scoring(w: Weights, x: Array, *, lower: float = 1 / 8, upper: float = 1 / 3) -> Array:
    """The slope below zero is the mean of those that training draws."""
    return np.where(x > 0, x, (lower + upper) / 2 * x)


def softmax(w: Weights, x: Array) -> Array:
    """e^x over its sum along the features."""
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def maxout(w: Weights, x: Array, *, pieces: int = 2) -> Array:
    """Output i: the largest of inputs i, i + width, ..."""
    return np.asarray(np.split(x, pieces, axis=-1)).max(axis=0)


def xielu(w: Weights, x: Array) -> Array:
    """Huang & Schlag 2024, with beta 0.5 and eps -1e-6, raw alphas through a softplus."""
    up, down = np.log1p(np.exp(w["alpha_p"])), 0.5 + np.log1p(np.exp(w["alpha_n"]))
    below = (np.expm1(np.minimum(x, -1e-6)) - x) * down + 0.5 * x
    return np.where(x > 0, up * x**2 + 0.5 * x, below)


def polyrelu(w: Weights, x: Array) -> Array:
    """a_0 + a_1 r + a_2 r^2 + a_3 r^3, r = max(x, 0)."""
    return np.polynomial.polynomial.polyval(np.where(x > 0, x, 0.0), w["weight"])


def polynorm(w: Weights, x: Array) -> Array:
    """Each power over its root mean square along the features (eps 1e-6 inside the root)."""
    out = np.zeros_like(x) + w["bias"]
    for power, a in zip((1, 2, 3), w["weight"], strict=True):
        out = out + a * x**power / np.sqrt(np.mean(x ** (2 * power), -1, keepdims=True) + 1e-6)
    return out


#: (weights, x, options) -> y, by name.
ACTIVATION: dict[str, Callable[..., Array]] = {
    **{name: _pointwise(row.value) for name, row in POINTWISE.items()},
    "swish": swish,
    "prelu": prelu,
    "rrelu": rrelu_in_scoring,
    "softmax": softmax,
    "maxout": maxout,
    "xielu": xielu,
    "polyrelu": polyrelu,
    "polynorm": polynorm,
}


def clamped_swiglu(gate: Array, value: Array) -> Array:
    """gpt-oss: the gate clamped above at 7, the value to [-7, 7], one added to it."""
    gate, value = np.minimum(gate, 7), np.clip(value, -7, 7)
    return gate * expit(1.702 * gate) * (value + 1)
