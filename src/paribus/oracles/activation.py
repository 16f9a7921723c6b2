"""Activations with parameters, and those that act across features.

`ACTIVATION[name](w, x, **options)`, with the weights under the names of the part's own parameters.
"""

from collections.abc import Callable

import numpy as np
from scipy.special import expit

from paribus.oracles.arrays import Array, Weights
from paribus.oracles.pointwise import POINTWISE


def _pointwise(value: Callable[..., Array]) -> Callable[..., Array]:
    """A function of x alone, with its constants by name if it has any."""
    return lambda w, x, *, constants=None: value(x, **(constants or {}))


def leaky_relu(x: Array, *, slope: float = 0.01) -> Array:
    """x above zero, slope x below."""
    return np.maximum(x, 0) + slope * np.minimum(x, 0)


def elu(x: Array, *, alpha: float = 1.0) -> Array:
    """Clevert et al. 2015: x above zero, alpha (e^x - 1) below."""
    return np.maximum(x, 0) + alpha * np.expm1(np.minimum(x, 0))


def celu(x: Array, *, alpha: float = 1.0) -> Array:
    """Barron 2017: ELU whose slope at zero is 1 for every alpha: alpha (e^(x / alpha) - 1) below."""
    return np.maximum(x, 0) + alpha * np.expm1(np.minimum(x, 0) / alpha)


def hardshrink(x: Array, *, bound: float = 0.5) -> Array:
    """x, but zero within [-bound, bound]."""
    return np.where(np.abs(x) > bound, x, 0.0)


def softshrink(x: Array, *, bound: float = 0.5) -> Array:
    """x moved towards zero by `bound`, and no further than zero."""
    return np.sign(x) * np.maximum(np.abs(x) - bound, 0)


def swish(w: Weights, x: Array, *, beta: float = 1.0, learnable: bool = False, per: str = "layer") -> Array:
    """Ramachandran et al. 2017: x sigma(beta x), with the learned `beta` ([1] or [width]) if there is one."""
    if learnable and w["beta"].shape != ((1,) if per == "layer" else x.shape[-1:]):
        raise ValueError(f"beta of shape {w['beta'].shape} is not one per {per} of {x.shape[-1]} features")
    return x * expit(w.get("beta", np.array(beta)) * x)


def prelu(w: Weights, x: Array, *, slope: float = 0.25, per: str = "layer") -> Array:
    """He et al. 2015: x above zero, slope x below; the weight, [1] or [width], starts at `slope`."""
    return np.maximum(x, 0) + w["slope"] * np.minimum(x, 0)


def rrelu_in_scoring(w: Weights, x: Array, *, lower: float = 1 / 8, upper: float = 1 / 3) -> Array:
    """Xu et al. 2015: below zero the mean of the slopes that training draws, 11/48 by default."""
    return np.where(x > 0, x, (lower + upper) / 2 * x)


def softmax(w: Weights, x: Array) -> Array:
    """e^x over its sum along the features."""
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def maxout(w: Weights, x: Array, *, pieces: int = 2) -> Array:
    """Goodfellow et al. 2013: output j is the largest of features j, j + width, ..., j + (pieces - 1) width."""
    width, rest = divmod(x.shape[-1], pieces)
    if rest:
        raise ValueError(f"{x.shape[-1]} features do not make {pieces} pieces")
    best = x[..., :width]
    for piece in range(1, pieces):
        best = np.maximum(best, x[..., piece * width : (piece + 1) * width])
    return best


def xielu(w: Weights, x: Array, *, beta: float = 0.5, eps: float = -1e-6) -> Array:
    """Huang & Schlag 2024: alpha_p x^2 + beta x above zero, (expm1(min(x, eps)) - x) alpha_n + beta x below.

    alpha_p = softplus(raw), alpha_n = beta + softplus(raw).
    """
    alpha_p, alpha_n = np.logaddexp(0, w["alpha_p"]), beta + np.logaddexp(0, w["alpha_n"])
    above = alpha_p * x * x + beta * x
    below = (np.expm1(np.minimum(x, eps)) - x) * alpha_n + beta * x
    return np.where(x > 0, above, below)


def polyrelu(w: Weights, x: Array) -> Array:
    """Zhuo et al. 2024: sum of a_i relu(x)^i, i = 0..3."""
    relu = np.maximum(x, 0)
    a = w["weight"]
    return a[0] + a[1] * relu + a[2] * relu * relu + a[3] * relu * relu * relu


def polynorm(w: Weights, x: Array, *, eps: float = 1e-6) -> Array:
    """Zhuo et al. 2024: b + sum of a_i x^i / rms(x^i), i = 1..3, the RMS over the features, eps in its root."""
    out = np.zeros_like(x) + w["bias"]
    for i, a in zip((1, 2, 3), w["weight"], strict=True):
        power = x**i
        out = out + a * power / np.sqrt((power * power).mean(-1, keepdims=True) + eps)
    return out


#: (weights, x, options) -> y, by name.
ACTIVATION: dict[str, Callable[..., Array]] = {
    **{name: _pointwise(row.value) for name, row in POINTWISE.items()},
    **{f.__name__: _pointwise(f) for f in (leaky_relu, elu, celu, hardshrink, softshrink)},
    "swish": swish,
    "prelu": prelu,
    "rrelu": rrelu_in_scoring,
    "softmax": softmax,
    "maxout": maxout,
    "xielu": xielu,
    "polyrelu": polyrelu,
    "polynorm": polynorm,
}
