"""The papers' formulas in numpy float64, written without sight of the package's code.

A test compares a part with these and never with itself. Nothing here imports torch or paribus, and a new
part needs its row here before its tests pass. Activations carry their first two derivatives in closed form,
feed-forward layers their gradients, so autograd is held to something that is not autograd.

Letters: B batch, H heads, T queries, S keys, K head dimension, D d_model, F d_ff.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import pi, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtr

Array = NDArray[np.float64]
Function = Callable[[Array], Array]
Weights = Mapping[str, Array]


@dataclass(frozen=True)
class Pointwise:
    """A function of one number with its first and second derivative."""

    value: Function
    first: Function
    second: Function


def _density(x: Array) -> Array:
    return np.exp(-x * x / 2) / sqrt(2 * pi)


#: sigma' = sigma (1 - sigma) = sigma(x) sigma(-x), which does not cancel for large x; tanh' = 1 / cosh^2;
#: GELU = x Phi, so GELU' = Phi + x phi and GELU'' = (2 - x^2) phi; Swish = x sigma by the product rule.
POINTWISE: dict[str, Pointwise] = {
    "identity": Pointwise(lambda x: x, np.ones_like, np.zeros_like),
    "sigmoid": Pointwise(
        expit, lambda x: expit(x) * expit(-x), lambda x: expit(x) * expit(-x) * (expit(-x) - expit(x))
    ),
    "tanh": Pointwise(np.tanh, lambda x: np.cosh(x) ** -2, lambda x: -2 * np.tanh(x) * np.cosh(x) ** -2),
    "relu": Pointwise(lambda x: np.where(x > 0, x, 0.0), lambda x: np.where(x > 0, 1.0, 0.0), np.zeros_like),
    "relu2": Pointwise(
        lambda x: np.where(x > 0, x * x, 0.0),
        lambda x: np.where(x > 0, 2 * x, 0.0),
        lambda x: np.where(x > 0, 2.0, 0.0),
    ),
    "gelu": Pointwise(
        lambda x: x * ndtr(x), lambda x: ndtr(x) + x * _density(x), lambda x: (2 - x * x) * _density(x)
    ),
    "silu": Pointwise(
        lambda x: x * expit(x),
        lambda x: expit(x) + x * expit(x) * expit(-x),
        lambda x: expit(x) * expit(-x) * (2 + x * (expit(-x) - expit(x))),
    ),
}

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


def _affine(w: Weights, name: str, x: Array) -> Array:
    y = x @ w[f"{name}.weight"].T
    return y + w[f"{name}.bias"] if f"{name}.bias" in w else y


def ffn(name: str, w: Weights, x: Array) -> Array:
    """W_down of the product over branches of act(W x + b), plus b_down."""
    hidden = [POINTWISE[act].value(_affine(w, branch, x)) for branch, act in FFN[name].items()]
    return _affine(w, "down", np.prod(hidden, axis=0))


def ffn_gradients(name: str, w: Weights, x: Array, dy: Array) -> dict[str, Array]:
    """Gradients of sum(y * dy) by the input (`x`) and by every parameter, x and dy being [N, D]."""
    z = {branch: _affine(w, branch, x) for branch in FFN[name]}
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


def layernorm(w: Weights, x: Array, eps: float = 1e-5) -> Array:
    """(x - mean) / sqrt(biased variance + eps) * g + b."""
    centred = x - x.mean(-1, keepdims=True)
    normed = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps) * w["weight"]
    return normed + w["bias"] if "bias" in w else normed


def rmsnorm(w: Weights, x: Array, eps: float = 1e-6) -> Array:
    """x / sqrt(mean(x^2) + eps) * g."""
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + eps) * w["weight"]


NORM: dict[str, Callable[..., Array]] = {"layernorm": layernorm, "rmsnorm": rmsnorm}

#: One sublayer f with its norm: placement -> (norm, f, x) -> x.
RESIDUAL: dict[str, Callable[[Function, Function, Array], Array]] = {
    "pre": lambda norm, f, x: x + f(norm(x)),
    "post": lambda norm, f, x: norm(x + f(x)),
}
FINAL_NORM = {"pre": True, "post": False}


def sinusoidal_table(length: int, d_model: int) -> Array:
    """Row p: sin(p / 10000^(2i/d)) in channel 2i, the cosine in channel 2i + 1."""
    table = np.zeros((length, d_model))
    for p in range(length):
        for i in range(d_model // 2):
            angle = p / 10000 ** (2 * i / d_model)
            table[p, 2 * i], table[p, 2 * i + 1] = np.sin(angle), np.cos(angle)
    return table


def rope_interleaved(x: Array, positions: Array, base: float = 10000.0) -> Array:
    """RoFormer's own layout: the pair (2i, 2i + 1) of x [..., T, K] as a complex number times e^(i p theta_i)."""
    theta = base ** (-np.arange(0, x.shape[-1], 2) / x.shape[-1])
    pairs = (x[..., 0::2] + 1j * x[..., 1::2]) * np.exp(1j * positions[:, None] * theta)
    turned = np.empty_like(x)
    turned[..., 0::2], turned[..., 1::2] = pairs.real, pairs.imag
    return turned


def half_split_order(head_dim: int) -> list[int]:
    """perm with half(q[perm]) == interleaved(q)[perm]: [0, 2, ..., 1, 3, ...]."""
    return [*range(0, head_dim, 2), *range(1, head_dim, 2)]


def rope(x: Array, positions: Array, base: float = 10000.0) -> Array:
    """Half-split layout: the interleaved rotation of the same pairs under `half_split_order`."""
    order = half_split_order(x.shape[-1])
    inverse = np.argsort(order)
    return rope_interleaved(x[..., inverse], positions, base)[..., order]


def attention(q: Array, k: Array, v: Array, *, causal: bool, scale: float) -> Array:
    """softmax(q k^T scale) v for [..., T, K], one query at a time."""
    out = np.zeros((*q.shape[:-1], v.shape[-1]))
    for t in range(q.shape[-2]):
        seen = t + 1 if causal else k.shape[-2]
        logits = np.einsum("...k,...sk->...s", q[..., t, :], k[..., :seen, :]) * scale
        p = np.exp(logits - logits.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
        out[..., t, :] = np.einsum("...s,...sk->...k", p, v[..., :seen, :])
    return out


def mha(
    w: Weights, x: Array, *, num_heads: int, rotate: Function = lambda x: x, causal: bool = True
) -> Array:
    """W_o concat_h softmax(q_h k_h^T / sqrt(K)) v_h on x [B, T, D]."""

    def heads(name: str) -> Array:
        y = _affine(w, name, x)
        return y.reshape(*y.shape[:-1], num_heads, -1).swapaxes(-2, -3)

    q, k, v = rotate(heads("q")), rotate(heads("k")), heads("v")
    y = attention(q, k, v, causal=causal, scale=1 / sqrt(q.shape[-1])).swapaxes(-2, -3)
    return _affine(w, "o", y.reshape(*y.shape[:-2], -1))


def _under(w: Weights, prefix: str) -> Weights:
    return {key[len(prefix) :]: array for key, array in w.items() if key.startswith(prefix)}


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
        norm_weights, weights = _under(block, f"residual.norms.{name}."), _under(block, f"{name}.")
        return RESIDUAL[parts["residual"]](lambda x: norm(norm_weights, x), lambda x: run(weights, x), x)

    norm = NORM[parts["norm"]]
    for layer in range(num_layers):
        block = _under(w, f"decoder.blocks.{layer}.")
        x = add_sublayer(x, block, "attention", lambda w, x: mha(w, x, num_heads=num_heads, rotate=rotate))
        x = add_sublayer(x, block, "ffn", lambda w, x: ffn(parts["ffn"], w, x))
    if FINAL_NORM[parts["residual"]]:
        x = norm(_under(w, "decoder.final_norm."), x)
    return x @ w.get("head.weight", w["embedding.weight"]).T


def round_once_slack(exact: Array, bits: int) -> Array:
    """Half a unit in the last place of a float with `bits` significant bits: all that one rounding may cost."""
    return np.ldexp(0.5, np.frexp(exact)[1] - bits)
