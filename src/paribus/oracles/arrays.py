"""What the oracles speak: float64 arrays, functions on them, and weights by name."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Function = Callable[[Array], Array]
Weights = Mapping[str, Array]


def affine(w: Weights, name: str, x: Array) -> Array:
    """x Wᵀ, plus b if there is one, of the linear layer `name`."""
    y = x @ w[f"{name}.weight"].T
    return y + w[f"{name}.bias"] if f"{name}.bias" in w else y


def under(w: Weights, prefix: str) -> Weights:
    """The weights whose names start with `prefix`, without it."""
    return {key[len(prefix) :]: array for key, array in w.items() if key.startswith(prefix)}


def round_once_slack(exact: Array, bits: int) -> Array:
    """Half a unit in the last place of a float with `bits` significant bits: all that one rounding may cost."""
    return np.ldexp(0.5, np.frexp(exact)[1] - bits)
