"""Norms: over the features of one token, and for batchnorm over the tokens of each feature."""

from collections.abc import Callable
from functools import partial
from math import ceil

import numpy as np

from paribus.oracles.arrays import Array, Weights


def layernorm(
    w: Weights,
    x: Array,
    eps: float = 1e-5,
    *,
    bias: bool | None = None,
    gain: bool | None = None,
    offset: bool = False,
    groups: int = 1,
) -> Array:
    """(x - mean) / sqrt(biased variance + eps) * g + b, or times 1 + g with `offset`; the weights say if there is g or b.

    Mean and variance are those of each of `groups` stretches of the features.
    """
    stretches = []
    for stretch in np.split(x, groups, axis=-1):
        centred = stretch - stretch.mean(-1, keepdims=True)
        stretches.append(centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps))
    normed = np.concatenate(stretches, axis=-1)
    if "weight" in w:
        normed = normed * (offset + w["weight"])
    return normed + w["bias"] if "bias" in w else normed


def rmsnorm(
    w: Weights,
    x: Array,
    eps: float = 1e-6,
    *,
    offset: bool = False,
    fraction: float = 1.0,
    groups: int = 1,
) -> Array:
    """Zhang & Sennrich 2019: x / sqrt(mean(x^2) + eps) * g, or times 1 + g with `offset`.

    The mean is over the first ceil(fraction d) features (their pRMSNorm), and every feature is divided by it; each of
    `groups` stretches of d features by its own.
    """
    stretches = []
    for stretch in np.split(x, groups, axis=-1):
        counted = stretch[..., : ceil(fraction * stretch.shape[-1])]
        stretches.append(stretch / np.sqrt((counted**2).mean(-1, keepdims=True) + eps))
    gain = 1 + w["weight"] if offset else w["weight"]
    return np.concatenate(stretches, axis=-1) * gain


def batchnorm(w: Weights, x: Array, eps: float = 1e-5, *, momentum: float = 0.1) -> Array:
    """In training: each feature by the mean and biased variance of all tokens, whatever ran up before."""
    tokens = x.reshape(-1, x.shape[-1])
    centred = tokens - tokens.mean(0)
    variance = (centred**2).mean(0)
    return (centred / np.sqrt(variance + eps) * w["weight"] + w["bias"]).reshape(x.shape)


def batchnorm_running(w: Weights, x: Array, eps: float = 1e-5, *, momentum: float = 0.1) -> Array:
    """In scoring: by the running statistics."""
    return (x - w["running_mean"]) / np.sqrt(w["running_var"] + eps) * w["weight"] + w["bias"]


def dyt(w: Weights, x: Array, *, alpha: float = 0.5, bias: bool | None = None) -> Array:
    """Zhu et al. 2025: tanh(alpha x) * g + b; the weights say whether there is a b, and alpha, which starts as given."""
    y = np.tanh(w["alpha"] * x) * w["weight"]
    return y + w["bias"] if "bias" in w else y


def scalenorm(w: Weights, x: Array, eps: float = 1e-5) -> Array:
    """Nguyen & Salazar 2019: g x / max(|x|, eps), one g for all features."""
    return w["weight"] * x / np.maximum(np.sqrt((x**2).sum(-1, keepdims=True)), eps)


#: (weights, x, options) -> y, by name; `batchnorm_running` is what batchnorm does in scoring.
NORM: dict[str, Callable[..., Array]] = {
    "layernorm": layernorm,
    "layernorm_offset": partial(layernorm, offset=True),
    "rmsnorm": rmsnorm,
    "rmsnorm_offset": partial(rmsnorm, offset=True),
    "prmsnorm": partial(rmsnorm, fraction=0.0625),
    "batchnorm": batchnorm,
    "batchnorm_running": batchnorm_running,
    "dyt": dyt,
    "scalenorm": scalenorm,
    "none": lambda w, x: x,
}
