"""Feed-forward layers and their gradients, from the papers' equations.

`FFN` holds those that are a product of pointwise activations of linear maps, whose gradients are here in closed
form; `FFN_LAYER` gives the output of every layer.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from scipy.special import expit

from paribus.oracles.activation import ACTIVATION
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


def ungated(
    w: Weights,
    x: Array,
    *,
    activation: str = "relu",
    activation_options: Mapping[str, Any] | None = None,
    bias: bool | None = None,
    **options: Any,
) -> Array:
    """W_down act(W_up x + b) + b_down; the activation's weights are under `activation.`.

    Its options come in `activation_options` or among the layer's own. Whether there are biases the weights say.
    """
    hidden = affine(w, "up", x)
    return affine(
        w,
        "down",
        ACTIVATION[activation](under(w, "activation."), hidden, **{**(activation_options or {}), **options}),
    )


def gated(
    w: Weights,
    x: Array,
    *,
    gate: str = "silu",
    value: str = "identity",
    gate_options: Mapping[str, Any] | None = None,
    value_options: Mapping[str, Any] | None = None,
    bias: bool | None = None,
) -> Array:
    """W_down (gate(W_gate x) * value(W_value x)), the activations' weights under `gate_activation.`, `value_...`."""
    g = ACTIVATION[gate](under(w, "gate_activation."), affine(w, "gate", x), **(gate_options or {}))
    v = ACTIVATION[value](under(w, "value_activation."), affine(w, "value", x), **(value_options or {}))
    return affine(w, "down", g * v)


def clamped_swiglu(gate: Array, value: Array, *, limit: float = 7.0, beta: float = 1.702) -> Array:
    """gpt-oss: the gate clamped above only, the value on both sides, and one added to the value."""
    gate, value = np.minimum(gate, limit), np.clip(value, -limit, limit)
    return gate * expit(beta * gate) * (value + 1)


def swiglu_clamped(
    w: Weights, x: Array, *, limit: float = 7.0, beta: float = 1.702, bias: bool | None = None
) -> Array:
    """W_down of `clamped_swiglu` of the two projections."""
    hidden = clamped_swiglu(affine(w, "gate", x), affine(w, "value", x), limit=limit, beta=beta)
    return affine(w, "down", hidden)


def self_gate(
    w: Weights,
    x: Array,
    *,
    activation: str,
    activation_options: Mapping[str, Any] | None = None,
    bias: bool | None = None,
) -> Array:
    """x * act(W_gate x + b): the input gates itself, and there is no hidden layer."""
    act = ACTIVATION[activation](under(w, "activation."), affine(w, "gate", x), **(activation_options or {}))
    return x * act


def layernorm_mlp(
    w: Weights, x: Array, *, depth: int | None = None, eps: float = 1e-5, bias: bool | None = None
) -> Array:
    """relu(LayerNorm(W_i h + b_i)) for each of the hidden layers that there are weights of, then the matrix back."""
    layers = sum(f"hidden.{layer}.weight" in w for layer in range(len(w)))
    if depth not in (None, layers):
        raise ValueError(f"weights of {layers} hidden layers, not {depth}")
    h = x
    for layer in range(layers):
        h = np.maximum(layernorm(under(w, f"norms.{layer}."), affine(w, f"hidden.{layer}", h), eps), 0)
    return affine(w, "down", h)


def _product(name: str) -> Callable[..., Array]:
    def layer(w: Weights, x: Array, *, bias: bool | None = None) -> Array:
        return ffn(name, w, x)

    return layer


#: (weights, x, options) -> y of every feed-forward layer, by name.
FFN_LAYER: dict[str, Callable[..., Array]] = {
    **{name: _product(name) for name in FFN},
    **{name: partial(ungated, activation=name) for name in ACTIVATION},
    "ungated": ungated,
    "gated": gated,
    "swish_learnable": partial(ungated, activation="swish"),
    "swiglu_learnable": partial(gated, gate="swish"),
    "swiglu_clamped": swiglu_clamped,
    "self_gate_sigmoid": partial(self_gate, activation="sigmoid"),
    "self_gate_gelu": partial(self_gate, activation="gelu"),
    "self_gate_swish": partial(self_gate, activation="swish"),
    "layernorm_mlp": layernorm_mlp,
}
