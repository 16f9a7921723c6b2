"""Placements of the norm around one sublayer."""

from collections.abc import Callable

from paribus.oracles.arrays import Array, Function

#: One sublayer f with its norm: placement -> (norm, f, x) -> x.
RESIDUAL: dict[str, Callable[[Function, Function, Array], Array]] = {
    "pre": lambda norm, f, x: x + f(norm(x)),
    "post": lambda norm, f, x: norm(x + f(x)),
}
FINAL_NORM = {"pre": True, "post": False}
