"""Placements of norms and scales around the sublayers of a block."""

from collections.abc import Callable, Mapping

import numpy as np

from paribus.oracles.arrays import Array, Function, Weights, under

Norm = Callable[[Weights, Array], Array]


def deepnorm_constants(stack: str, encoder_layers: int, decoder_layers: int) -> tuple[float, float]:
    """Wang et al. 2022, table 1: (alpha, beta)."""
    n, m = float(encoder_layers), float(decoder_layers)
    if n == 0 or m == 0:
        return float(np.sqrt(np.sqrt(2 * (n + m)))), float(1 / np.sqrt(np.sqrt(8 * (n + m))))
    if stack == "encoder":
        root = float(np.exp((4 * np.log(n) + np.log(m)) / 16))
        return 0.81 * root, 0.87 / root
    return float(np.sqrt(np.sqrt(3 * m))), float(1 / np.sqrt(np.sqrt(12 * m)))


def placement(
    name: str,
    w: Weights,
    x: Array,
    sublayers: Mapping[str, Function],
    norm: Norm,
    *,
    stack: str = "decoder",
    encoder_layers: int = 0,
    decoder_layers: int = 1,
) -> Array:
    """One block: the sublayers in order, joined as the placement `name` joins them."""
    if name.startswith("parallel"):
        return x + sum(
            f(norm(under(w, f"norms.{'shared' if name == 'parallel' else sublayer}."), x))
            for sublayer, f in sublayers.items()
        )
    alpha, _ = deepnorm_constants(stack, encoder_layers, decoder_layers)
    for sublayer, f in sublayers.items():
        inner, outer = under(w, f"norms.{sublayer}."), under(w, f"output_norms.{sublayer}.")
        if name == "pre":
            x = x + f(norm(inner, x))
        elif name == "post":
            x = norm(inner, x + f(x))
        elif name in ("sandwich", "peri"):
            x = x + norm(outer, f(norm(inner, x)))
        elif name == "post_sublayer":
            x = x + norm(inner, f(x))
        elif name == "deepnorm":
            x = norm(inner, alpha * x + f(x))
        elif name == "rezero":
            x = x + w[f"scales.{sublayer}"] * f(x)
        else:
            raise NotImplementedError(f"write the oracle of residual {name!r}")
    return x


#: Whether the stack has a norm after its last block, and after the embedding.
FINAL_NORM = {
    "pre": True,
    "post": False,
    "sandwich": True,
    "peri": True,
    "post_sublayer": True,
    "deepnorm": False,
    "parallel": True,
    "parallel_separate": True,
    "rezero": False,
}
EMBEDDING_NORM = {name: name == "peri" for name in FINAL_NORM}
