"""Feed-forward layers and their gradients, from the papers' equations."""

import numpy as np

from paribus.oracles.arrays import Array, Weights, affine
from paribus.oracles.pointwise import POINTWISE

#: The hidden vector of each feed-forward layer as a product of activations of linear maps: branch -> activation.
#: Shazeer 2020 (equations 5 and 6) gates the first factor; GTU is tanh(W_gate x) * sigmoid(W_value x).
FFN: dict[str, dict[str, str]] = {
    "glu": {"gate": "sigmoid", "value": "identity"},
    "gtu": {"gate": "tanh", "value": "sigmoid"},
    "bilinear": {"gate": "identity", "value": "identity"},
    "reglu": {"gate": "relu", "value": "identity"},
    "geglu": {"gate": "gelu", "value": "identity"},
    "swiglu": {"gate": "silu", "value": "identity"},
    "relu": {"up": "relu"},
    "gelu": {"up": "gelu"},
    "silu": {"up": "silu"},
    "relu2": {"up": "relu2"},
}


def ffn(name: str, w: Weights, x: Array) -> Array:
    """W_down of the product over branches of act(W x + b), plus b_down."""
    hidden = [POINTWISE[act].value(affine(w, branch, x)) for branch, act in FFN[name].items()]
    return affine(w, "down", np.prod(hidden, axis=0))


def ffn_gradients(name: str, w: Weights, x: Array, dy: Array) -> dict[str, Array]:
    """Gradients of sum(y * dy) by the input (`x`) and by every parameter, x and dy being [N, D]."""
    z = {branch: affine(w, branch, x) for branch in FFN[name]}
    value = {branch: POINTWISE[act].value(z[branch]) for branch, act in FFN[name].items()}
    hidden = np.prod(list(value.values()), axis=0)
    gradients = {"down.weight": dy.T @ hidden, "down.bias": dy.sum(0), "x": np.zeros_like(x)}
    dh = dy @ w["down.weight"]
    for branch, act in FFN[name].items():
        others = np.prod([dh] + [value[other] for other in value if other != branch], axis=0)
        dz = others * POINTWISE[act].first(z[branch])
        gradients[f"{branch}.weight"] = dz.T @ x
        gradients[f"{branch}.bias"] = dz.sum(0)
        gradients["x"] = gradients["x"] + dz @ w[f"{branch}.weight"]
    return {key: gradients[key] for key in ("x", *w)}
