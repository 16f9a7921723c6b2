"""Feed-forward layers and their gradients, from the papers' equations."""

from collections.abc import Callable

import numpy as np

from paribus.oracles.activation import ACTIVATION, clamped_swiglu, swish
from paribus.oracles.arrays import Array, Weights, affine, under
from paribus.oracles.norm import layernorm
from paribus.oracles.pointwise import POINTWISE

#: The hidden vector of each feed-forward layer as a product of activations of linear maps: branch -> activation.
#: Shazeer 2020 (equations 5 and 6) gates the first factor; GTU is tanh(W_gate x) * sigmoid(W_value x).
FFN: dict[str, dict[str, str]] = {
    "glu": {"gate": "sigmoid", "value": "identity"},
    "gtu": {"gate": "tanh", "value": "sigmoid"},
    "bilinear": {"gate": "identity", "value": "identity"},
    "reglu": {"gate": "relu", "value": "identity"},
    "geglu": {"gate": "gelu", "value": "identity"},
    "geglu_tanh": {"gate": "gelu_tanh", "value": "identity"},
    "swiglu": {"gate": "silu", "value": "identity"},
    "gated": {"gate": "silu", "value": "identity"},
    "ungated": {"up": "relu"},
    **{name: {"up": name} for name in POINTWISE},
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


def _ungated(name: str) -> Callable[[Weights, Array], Array]:
    def layer(w: Weights, x: Array) -> Array:
        return affine(w, "down", ACTIVATION[name](under(w, "activation."), affine(w, "up", x)))

    return layer


def _gated(mix: Callable[[Weights, Array, Array], Array]) -> Callable[[Weights, Array], Array]:
    return lambda w, x: affine(w, "down", mix(w, affine(w, "gate", x), affine(w, "value", x)))


def _self_gate(name: str) -> Callable[[Weights, Array], Array]:
    return lambda w, x: x * POINTWISE[name].value(affine(w, "gate", x))


def layernorm_mlp(w: Weights, x: Array) -> Array:
    """relu(LayerNorm(W h)) for each hidden layer, then the matrix back."""
    layer = 0
    while f"hidden.{layer}.weight" in w:
        x = np.maximum(layernorm(under(w, f"norms.{layer}."), affine(w, f"hidden.{layer}", x)), 0)
        layer += 1
    return affine(w, "down", x)


def _product(name: str) -> Callable[[Weights, Array], Array]:
    return lambda w, x: ffn(name, w, x)


#: (weights, x) -> y of every feed-forward layer, by name.
FFN_LAYER: dict[str, Callable[[Weights, Array], Array]] = {
    **{name: _ungated(name) for name in ACTIVATION},
    **{name: _product(name) for name in FFN},
    "swish_learnable": _ungated("swish"),
    "swiglu_learnable": _gated(lambda w, g, v: swish(under(w, "gate_activation."), g) * v),
    "swiglu_clamped": _gated(lambda w, g, v: clamped_swiglu(g, v)),
    "self_gate_sigmoid": _self_gate("sigmoid"),
    "self_gate_gelu": _self_gate("gelu"),
    "self_gate_swish": _self_gate("silu"),
    "layernorm_mlp": layernorm_mlp,
}
