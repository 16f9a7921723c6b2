"""Norms: over the features of one token, and for batchnorm over the tokens of each feature."""

from collections.abc import Callable
from functools import partial
from math import ceil

import numpy as np

from paribus.oracles.arrays import Array, Weights


def layernorm(w: Weights, x: Array, eps: float = 1e-5) -> Array:
    """(x - mean) / sqrt(biased variance + eps) * g + b."""
    centred = x - x.mean(-1, keepdims=True)
    normed = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps) * w["weight"]
    return normed + w["bias"] if "bias" in w else normed


def rmsnorm(w: Weights, x: Array, eps: float = 1e-6, *, offset: bool = False, fraction: float = 1.0) -> Array:
    """x / sqrt(mean(x^2) + eps) * g, or times 1 + g; the mean over the first ceil(fraction d) features."""
    counted = x[..., : ceil(fraction * x.shape[-1])]
    return x / np.sqrt((counted**2).mean(-1, keepdims=True) + eps) * (w["weight"] + (1 if offset else 0))


def batchnorm(w: Weights, x: Array, eps: float = 1e-5) -> Array:
    """In training: each feature by the mean and biased variance of all tokens of the batch."""
    axes = tuple(range(x.ndim - 1))
    mean, var = x.mean(axes), x.var(axes)
    return (x - mean) / np.sqrt(var + eps) * w["weight"] + w["bias"]


def batchnorm_running(w: Weights, x: Array, eps: float = 1e-5) -> Array:
    """In scoring: by the running statistics."""
    return (x - w["running_mean"]) / np.sqrt(w["running_var"] + eps) * w["weight"] + w["bias"]


def dyt(w: Weights, x: Array) -> Array:
    """tanh(alpha x) * g + b."""
    return np.tanh(w["alpha"] * x) * w["weight"] + w.get("bias", np.zeros(1))


def scalenorm(w: Weights, x: Array, eps: float = 1e-5) -> Array:
    """g x / max(|x|, eps)."""
    return w["weight"] * x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), eps)


NORM: dict[str, Callable[..., Array]] = {
    "layernorm": layernorm,
    "rmsnorm": rmsnorm,
    "rmsnorm_offset": partial(rmsnorm, offset=True),
    "prmsnorm": partial(rmsnorm, fraction=0.0625),
    "batchnorm": batchnorm,
    "dyt": dyt,
    "scalenorm": scalenorm,
    "none": lambda w, x: x,
}
