"""Attention, one query at a time."""

from collections.abc import Mapping
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paribus.oracles.arrays import Array, Function, Weights, affine, under
from paribus.oracles.norm import NORM
from paribus.oracles.position import PositionOracle

Mask = NDArray[np.bool_]


def visible_mask(
    queries: int,
    keys: int,
    *,
    causal: bool,
    window: int | None = None,
    key_valid: Mask | None = None,
    document: NDArray[Any] | None = None,
    offset: int | None = None,
) -> Mask:
    """[T, S], or [B, T, S] if `key_valid` or `document` (the number of each key's document) is [B, S].

    Query t stands at the place offset + t, S - T + t unless given. A window of w shows the w last keys, its own place among them, and
    without causality as many on the other side.
    """
    per_row = [np.atleast_2d(each) for each in (key_valid, document) if each is not None]
    rows = max((len(each) for each in per_row), default=1)
    valid = np.ones((rows, keys), bool) if key_valid is None else np.broadcast_to(key_valid, (rows, keys))
    number = np.zeros((rows, keys)) if document is None else np.broadcast_to(document, (rows, keys))
    seen = np.zeros((rows, queries, keys), dtype=bool)
    for b in range(rows):
        for t in range(queries):
            i = t + (keys - queries if offset is None else offset)
            for j in range(keys):
                if causal and j > i:
                    continue
                if window is not None and abs(i - j) >= window:
                    continue
                if document is not None and (not 0 <= i < keys or number[b, i] != number[b, j]):
                    continue
                seen[b, t, j] = valid[b, j]
    return seen if any(each is not None and each.ndim == 2 for each in (key_valid, document)) else seen[0]


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
    """softmax(cap tanh(q k^T scale / cap) + bias) v over the keys that `causal` and `visible` both show.

    q [B, H, T, K], k and v [B, G, S, K] (B may be missing, or B and H): head h reads head h // (H / G) of the keys.
    `visible` [T, S] or [B, T, S]; `bias` [H, T, S]; vectors [T, S, K] are added to each query's keys and values.
    `sinks` [H]: one more logit, neither capped nor biased, whose value is zero. A query that sees nothing gives
    zeros.
    """
    if q.ndim < 4:
        one = attention(
            *(each.reshape((1,) * (4 - each.ndim) + each.shape) for each in (q, k, v)),
            scale=scale,
            causal=causal,
            visible=visible,
            bias=bias,
            softcap=softcap,
            sinks=sinks,
            key_vectors=key_vectors,
            value_vectors=value_vectors,
        )
        return one.reshape(*q.shape[:-1], v.shape[-1])
    (rows, heads, queries, _), (groups, keys) = q.shape, k.shape[1:3]
    shown = np.ones((rows, queries, keys), dtype=bool)
    if visible is not None:
        shown &= visible
    if causal:
        shown &= visible_mask(queries, keys, causal=True)
    out = np.zeros((rows, heads, queries, v.shape[-1]))
    for b, h, t in np.ndindex(rows, heads, queries):
        g = h // (heads // groups)
        logits, values = [], []
        for s in np.flatnonzero(shown[b, t]):
            key, value = k[b, g, s], v[b, g, s]
            if key_vectors is not None:
                key = key + key_vectors[t, s]
            if value_vectors is not None:
                value = value + value_vectors[t, s]
            logit = (q[b, h, t] * key).sum() * scale
            if softcap is not None:
                logit = softcap * np.tanh(logit / softcap)
            if bias is not None:
                logit = logit + bias[h, t, s]
            logits.append(logit)
            values.append(value)
        if not logits:
            continue
        if sinks is not None:
            logits.append(sinks[h])
            values.append(np.zeros(v.shape[-1]))
        p = np.exp(np.array(logits) - max(logits))
        out[b, h, t] = (p / p.sum()) @ np.array(values)
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
    position_options: Mapping[str, Any] | None = None,
    max_seq_len: int = 1024,
    causal: bool = True,
    window: int | None = None,
    softcap: float | None = None,
    scale: float | None = None,
    memory: Array | None = None,
    key_valid: Mask | None = None,
    document: NDArray[Any] | None = None,
    qk_norm: str = "rmsnorm",
    qk_norm_over: str | None = None,
    bias: bool | str | None = None,
    sinks: bool | None = None,
    clip: float | None = None,
) -> Array:
    """W_o concat_h softmax(q_h k_h^T scale) v_h on x [B, T, D]; scale is 1 / sqrt(K) unless given.

    With `memory` keys and values are of that, and position, causality and window do not act. Weights `q_norm.` and
    `k_norm.` norm queries and keys before their rotation, over each head with one gain or a gain for each, or over the
    whole width ("head", "heads", "width"; unless given, the size of their gain says which of the first and the last).
    `clip` c puts what is beyond [-c, c] of queries, keys and values there. Whether there are biases and `sinks` [H] the
    weights say.
    """
    source = x if memory is None else memory
    groups = num_kv_heads or num_heads

    def heads(name: str, of: Array, count: int) -> Array:
        y, norm = affine(w, name, of), under(w, f"{name}_norm.")
        if clip is not None:
            y = np.minimum(np.maximum(y, -clip), clip)
        head_dim = y.shape[-1] // count
        over = qk_norm_over or ("head" if norm and norm["weight"].size == head_dim else "width")
        if norm and over == "width":
            y = NORM[qk_norm](norm, y)
        y = np.moveaxis(y.reshape(*y.shape[:-1], count, head_dim), -2, -3)
        if norm and over == "heads":
            for h in range(count):
                own = {key: array[h * head_dim : (h + 1) * head_dim] for key, array in norm.items()}
                y[..., h, :, :] = NORM[qk_norm](own, y[..., h, :, :])
        return NORM[qk_norm](norm, y) if norm and over == "head" else y

    q, k, v = heads("q", x, num_heads), heads("k", source, groups), heads("v", source, groups)
    places = np.arange(x.shape[-2], dtype=float)
    acting: dict[str, Any] = {}
    if rotate is not None:
        q, k = rotate(q), rotate(k)
    if position is not None and memory is None:
        of, options = position_weights or {}, position_options or {}
        if position.rotate is not None:
            q = position.rotate(q, places, "q", len(places), max_seq_len, **options)
            k = position.rotate(k, places, "k", len(places), max_seq_len, **options)
        if position.bias is not None:
            acting["bias"] = position.bias(of, places, places, num_heads, causal, **options)
        if position.key_vectors is not None:
            acting["key_vectors"] = position.key_vectors(of, places, places, **options)
        if position.value_vectors is not None:
            acting["value_vectors"] = position.value_vectors(of, places, places, **options)
    within = memory is None
    visible = visible_mask(
        x.shape[-2],
        source.shape[-2],
        causal=causal and within,
        window=window if within else None,
        key_valid=key_valid,
        document=document if within else None,
    )
    y = attention(
        q,
        k,
        v,
        scale=1 / sqrt(q.shape[-1]) if scale is None else scale,
        visible=visible,
        softcap=softcap,
        sinks=w.get("sinks"),
        **acting,
    )
    y = np.moveaxis(y, -3, -2)
    return affine(w, "o", y.reshape(*y.shape[:-2], -1))
