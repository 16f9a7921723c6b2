"""Attention, one query at a time."""

from collections.abc import Callable
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paribus.oracles.arrays import Array, Function, Weights, affine, under
from paribus.oracles.norm import rmsnorm
from paribus.oracles.position import PositionOracle

Mask = NDArray[np.bool_]


def visible_mask(
    queries: int,
    keys: int,
    *,
    causal: bool,
    window: int | None = None,
    key_valid: Mask | None = None,
    document: Array | None = None,
) -> Mask:
    """[B or 1, T, S]: query t stands at the place of key S - T + t."""
    rows = next((len(each) for each in (key_valid, document) if each is not None), 1)
    seen = np.zeros((rows, queries, keys), dtype=bool)
    for b in range(rows):
        for t in range(queries):
            i = keys - queries + t
            for j in range(keys):
                ok = not (causal and j > i)
                ok &= window is None or (i - j if causal else abs(i - j)) < window
                ok &= key_valid is None or bool(key_valid[b, j])
                ok &= document is None or document[b, i] == document[b, j]
                seen[b, t, j] = ok
    return seen


def attention(
    q: Array,
    k: Array,
    v: Array,
    *,
    scale: float,
    causal: bool = False,
    visible: Mask | None = None,
    bias: Array | None = None,
    softcap: float | None = None,
    sinks: Array | None = None,
    key_vectors: Array | None = None,
    value_vectors: Array | None = None,
) -> Array:
    """softmax(cap(q k^T scale) + bias) v over the visible keys, for q [..., H, T, K] and k, v [..., G, S, K].

    Head h reads key head h // (H / G). A query that sees nothing gives zeros; a sink's logit takes part in the
    softmax and has no value.
    """
    if visible is None:
        visible = visible_mask(q.shape[-2], k.shape[-2], causal=causal)
    lead = q.shape[:-3]
    out = np.zeros((*q.shape[:-1], v.shape[-1]))
    for index in np.ndindex(*q.shape[:-1]):
        *batch, h, t = index
        group = (*batch, h // (q.shape[-3] // k.shape[-3]))
        row = batch[0] if lead and len(visible) > 1 else 0
        seen = np.flatnonzero(visible[row, t])
        if not len(seen):
            continue
        keys, values = k[group][seen], v[group][seen]
        if key_vectors is not None:
            keys = keys + key_vectors[t, seen]
        if value_vectors is not None:
            values = values + value_vectors[t, seen]
        logits = keys @ q[index] * scale
        if softcap is not None:
            logits = softcap * np.tanh(logits / softcap)
        if bias is not None:
            logits = logits + bias[h, t, seen]
        highest = max(logits.max(), -np.inf if sinks is None else sinks[h])
        p = np.exp(logits - highest)
        out[index] = p @ values / (p.sum() + (0 if sinks is None else np.exp(sinks[h] - highest)))
    return out


def mha(
    w: Weights,
    x: Array,
    *,
    num_heads: int,
    num_kv_heads: int | None = None,
    rotate: Function | None = None,
    position: PositionOracle | None = None,
    position_weights: Weights | None = None,
    max_seq_len: int = 1024,
    causal: bool = True,
    window: int | None = None,
    softcap: float | None = None,
    scale: float | None = None,
    memory: Array | None = None,
    key_valid: Mask | None = None,
    qk_norm: Callable[[Weights, Array], Array] = rmsnorm,
    qk_norm_over: str = "head",
) -> Array:
    """W_o concat_h softmax(q_h k_h^T scale) v_h on x [B, T, D]; with `memory` keys and values are of that."""
    source = x if memory is None else memory

    def heads(name: str, of: Array, count: int) -> Array:
        y, norm = affine(w, name, of), under(w, f"{name}_norm.")
        if norm and qk_norm_over == "width":
            y = qk_norm(norm, y)
        y = y.reshape(*y.shape[:-1], count, -1).swapaxes(-2, -3)
        return qk_norm(norm, y) if norm and qk_norm_over == "head" else y

    groups = num_kv_heads or num_heads
    q, k, v = heads("q", x, num_heads), heads("k", source, groups), heads("v", source, groups)
    queries, keys = np.arange(x.shape[-2], dtype=float), np.arange(source.shape[-2], dtype=float)
    extra: dict[str, Any] = {}
    if rotate is not None:
        q, k = rotate(q), rotate(k)
    if position is not None and memory is None:
        weights = position_weights or {}
        if position.rotate is not None:
            q, k = (
                position.rotate(y, queries, which=name, length=len(keys), max_seq_len=max_seq_len)
                for name, y in (("q", q), ("k", k))
            )
        if position.bias is not None:
            extra["bias"] = position.bias(weights, queries, keys, heads=num_heads, causal=causal)
        if position.key_vectors is not None and position.value_vectors is not None:
            extra["key_vectors"] = position.key_vectors(weights, queries, keys)
            extra["value_vectors"] = position.value_vectors(weights, queries, keys)
    visible = visible_mask(
        len(queries), len(keys), causal=causal and memory is None, window=window, key_valid=key_valid
    )
    y = attention(
        q,
        k,
        v,
        scale=1 / sqrt(q.shape[-1]) if scale is None else scale,
        visible=visible,
        softcap=softcap,
        sinks=w.get("sinks"),
        **extra,
    ).swapaxes(-2, -3)
    return affine(w, "o", y.reshape(*y.shape[:-2], -1))
