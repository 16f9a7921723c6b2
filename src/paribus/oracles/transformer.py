"""Whole models from their state dicts."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from paribus.oracles.arrays import Array, Weights, under
from paribus.oracles.attention import mha
from paribus.oracles.ffn import ffn
from paribus.oracles.norm import NORM
from paribus.oracles.position import rope, sinusoidal_table
from paribus.oracles.residual import FINAL_NORM, RESIDUAL


def transformer(
    w: Weights, ids: NDArray[np.int64], *, num_heads: int, num_layers: int, parts: Mapping[str, str]
) -> Array:
    """Logits of the whole causal model from its state dict; `parts` names the part of each slot."""
    positions = np.arange(ids.shape[-1], dtype=np.float64)
    x = w["embedding.weight"][ids]
    if parts["position"] == "learned":
        x = x + w["decoder.position.weight"][: ids.shape[-1]]
    elif parts["position"] == "sinusoidal":
        x = x + sinusoidal_table(ids.shape[-1], x.shape[-1])
    elif parts["position"] not in ("rope", "none"):
        raise NotImplementedError(f"write the oracle of position {parts['position']!r}")

    def rotate(heads: Array) -> Array:
        return rope(heads, positions) if parts["position"] == "rope" else heads

    def add_sublayer(x: Array, block: Weights, name: str, run: Callable[[Weights, Array], Array]) -> Array:
        norm_weights, weights = under(block, f"residual.norms.{name}."), under(block, f"{name}.")
        return RESIDUAL[parts["residual"]](lambda x: norm(norm_weights, x), lambda x: run(weights, x), x)

    norm = NORM[parts["norm"]]
    for layer in range(num_layers):
        block = under(w, f"decoder.blocks.{layer}.")
        x = add_sublayer(x, block, "attention", lambda w, x: mha(w, x, num_heads=num_heads, rotate=rotate))
        x = add_sublayer(x, block, "ffn", lambda w, x: ffn(parts["ffn"], w, x))
    if FINAL_NORM[parts["residual"]]:
        x = norm(under(w, "decoder.final_norm."), x)
    return x @ w.get("head.weight", w["embedding.weight"]).T
