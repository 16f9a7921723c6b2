"""Attention, one query at a time."""

from math import sqrt

import numpy as np

from paribus.oracles.arrays import Array, Function, Weights, affine


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
        y = affine(w, name, x)
        return y.reshape(*y.shape[:-1], num_heads, -1).swapaxes(-2, -3)

    q, k, v = rotate(heads("q")), rotate(heads("k")), heads("v")
    y = attention(q, k, v, causal=causal, scale=1 / sqrt(q.shape[-1])).swapaxes(-2, -3)
    return affine(w, "o", y.reshape(*y.shape[:-2], -1))
