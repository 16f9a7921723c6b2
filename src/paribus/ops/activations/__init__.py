"""The activation table: every pointwise function once, with its first and second derivative.

From these rows come the ungated and the gated feed-forward layers, the figures that `explain` prints and
the derivatives that the tests hold autograd to. A row is plain torch and works for every floating dtype;
what a layer does with it (gating, checkpointing) and what is learned belong elsewhere.
"""

from __future__ import annotations

from paribus.errors import RequestError, nearest
from paribus.ops.activations import piecewise, smooth
from paribus.ops.activations.row import Activation, Pointwise, rounded_once

__all__ = ["ACTIVATIONS", "Activation", "Pointwise", "activation", "rounded_once"]

ACTIVATIONS = {row.name: row for row in (*piecewise.ROWS, *smooth.ROWS)}


def activation(name: str) -> Activation:
    """The row of this name; raises `RequestError` for an unknown name."""
    row = ACTIVATIONS.get(name)
    if row is None:
        raise RequestError(f"there is no activation called {name!r}; {nearest(name, ACTIVATIONS)}")
    return row
