"""Norms over the features of one token."""

from collections.abc import Callable

import numpy as np

from paribus.oracles.arrays import Array, Weights


def layernorm(w: Weights, x: Array, eps: float = 1e-5) -> Array:
    """(x - mean) / sqrt(biased variance + eps) * g + b."""
    centred = x - x.mean(-1, keepdims=True)
    normed = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps) * w["weight"]
    return normed + w["bias"] if "bias" in w else normed


def rmsnorm(w: Weights, x: Array, eps: float = 1e-6) -> Array:
    """x / sqrt(mean(x^2) + eps) * g."""
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + eps) * w["weight"]


NORM: dict[str, Callable[..., Array]] = {"layernorm": layernorm, "rmsnorm": rmsnorm}
