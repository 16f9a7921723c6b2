"""The gradient of anything, without a derivative: central differences along given directions."""

import numpy as np

from paribus.oracles.arrays import Array, Function


def gradient(f: Function, x: Array, dy: Array, step: Array) -> Array:
    """Half of how much sum(f * dy) changes from x - step to x + step, for each step [..., *x.shape]: [...].

    For a gradient g that is (g * step).sum() over x's axes, but for an error in the cube of the step's size and one
    of 1e-16 |f|: steps of about 1e-6 leave nine digits or so. `f` must have no corner between the two ends.
    """
    steps = step.reshape(-1, *x.shape)
    found = [((f(x + each) * dy).sum() - (f(x - each) * dy).sum()) / 2 for each in steps]
    return np.array(found).reshape(step.shape[: step.ndim - x.ndim])
