"""Position encodings: tables, rotations, biases and relative vectors; each as what it does to a model.

The frequencies of RoPE's scalings are in `frequency.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from paribus.oracles.arrays import Array, Weights
from paribus.oracles.frequency import frequencies


def sinusoidal_table(length: int, d_model: int) -> Array:
    """Row p: sin(p / 10000^(2i/d)) in channel 2i, the cosine in channel 2i + 1."""
    table = np.zeros((length, d_model))
    for p in range(length):
        for i in range(d_model // 2):
            angle = p / 10000 ** (2 * i / d_model)
            table[p, 2 * i], table[p, 2 * i + 1] = np.sin(angle), np.cos(angle)
    return table


def turned(x: Array, positions: Array, theta: Array) -> Array:
    """Pair (2i, 2i + 1) of x [..., T, 2n] as a complex number times e^(i p theta_i)."""
    pairs = (x[..., 0::2] + 1j * x[..., 1::2]) * np.exp(1j * np.asarray(positions)[:, None] * theta)
    out = np.empty_like(x)
    out[..., 0::2], out[..., 1::2] = pairs.real, pairs.imag
    return out


def half_split_order(head_dim: int) -> list[int]:
    """perm with half(q[perm]) == interleaved(q)[perm]: [0, 2, ..., 1, 3, ...]."""
    return [*range(0, head_dim, 2), *range(1, head_dim, 2)]


def in_layout(layout: str, rotation: Callable[[Array], Array], x: Array, fraction: float = 1.0) -> Array:
    """A rotation of neighbouring channels, on the pairs of a layout in the first `fraction` of the channels.

    `interleaved` pairs channels 2i and 2i + 1, `half` channels i and i + n/2 of the n that are turned.
    """
    n = int(fraction * x.shape[-1])
    if n % 2:
        raise ValueError(f"{fraction} of {x.shape[-1]} channels are {n}, which do not pair up")
    kept, x = x[..., n:], x[..., :n]
    if layout == "half":
        order = half_split_order(n)
        x = rotation(x[..., np.argsort(order)])[..., order]
    elif layout == "interleaved":
        x = rotation(x)
    else:
        raise ValueError(f"no layout {layout!r}")
    return np.concatenate((x, kept), axis=-1)


def rope(
    x: Array, positions: Array, base: float = 10000.0, layout: str = "half", fraction: float = 1.0
) -> Array:
    """Su et al. 2021 on x [..., T, K]: theta_i = base^(-2i/n), n = fraction K the channels that turn."""
    n = int(fraction * x.shape[-1])
    theta = base ** (-np.arange(0, n, 2) / n)
    return in_layout(layout, lambda y: turned(y, positions, theta), x, fraction)


def rope_interleaved(x: Array, positions: Array, base: float = 10000.0) -> Array:
    """RoFormer's own layout, the pair (2i, 2i + 1)."""
    return rope(x, positions, base, "interleaved")


def rotated(
    x: Array,
    positions: Array,
    which: str,
    length: int,
    max_seq_len: int,
    *,
    name: str,
    layout: str = "half",
    fraction: float = 1.0,
    turning: float = 1.0,
    **options: Any,
) -> Array:
    """Queries (`which` q) or keys (k) of a member of the RoPE family, x [..., T, K].

    The attention factor multiplies cosine and sine, so it acts on queries and keys and its square on logits.
    `length` is that of the sequence, which `rope_dynamic` and `rope_longrope` look at. Of the pairs the share `turning`
    does turn, the fastest.
    """
    by_name = {"rope_llama3": {"factor": 8.0, "original_length": 8192}}.get(name, {})
    options = {"factor": 4.0, "original_length": max_seq_len, **by_name, **options}
    n = int(fraction * x.shape[-1])
    theta, factor = frequencies(name, n, length=length, **options)
    theta[round(turning * len(theta)) :] = 0
    return in_layout(layout, lambda y: factor * turned(y, positions, theta), x, fraction)


def xpos(
    x: Array,
    positions: Array,
    which: str,
    length: int,
    max_seq_len: int,
    *,
    base: float = 10000.0,
    scale_base: float = 512.0,
    layout: str = "half",
    fraction: float = 1.0,
    turning: float = 1.0,
) -> Array:
    """Sun et al. 2022: RoPE with pair i of a query at p grown by zeta_i^(p/512), of a key by zeta_i^(-p/512)."""
    half = int(fraction * x.shape[-1]) // 2
    theta = base ** (-np.arange(half) / half) * (np.arange(half) < round(turning * half))
    zeta = (np.arange(half) / half + 0.4) / 1.4
    sign = {"q": 1, "k": -1}[which]

    def rotation(y: Array) -> Array:
        growth = zeta ** (sign * np.asarray(positions, dtype=float)[:, None] / scale_base)
        out = turned(y, positions, theta)
        out[..., 0::2] *= growth
        out[..., 1::2] *= growth
        return out

    return in_layout(layout, rotation, x, fraction)


def alibi_slopes(heads: int) -> list[float]:
    """Press et al. 2022: 2^(-8h/n), h = 1..n, for n a power of two.

    Otherwise those of the power of two below, then every other one of twice as many heads.
    """
    power = 1 << (heads.bit_length() - 1)
    slopes = [2.0 ** (-8 * h / power) for h in range(1, power + 1)]
    return slopes + [2.0 ** (-8 * h / (2 * power)) for h in range(1, 2 * (heads - power), 2)]


def alibi_bias(
    w: Weights, q_pos: Array, k_pos: Array, num_heads: int, causal: bool, *, scale: float = 1.0
) -> Array:
    """-scale m_h |i - j|, [H, T, S]."""
    slopes = [scale * m for m in alibi_slopes(num_heads)]
    return np.array([[[-m * abs(i - j) for j in k_pos] for i in q_pos] for m in slopes])


def t5_bucket(offset: int, *, causal: bool, num_buckets: int = 32, max_distance: int = 128) -> int:
    """Raffel et al. 2020: the bucket of key position minus query position.

    Past the exact ones bucket e + b begins at the distance e (max/e)^(b/span). The powers are compared as integers:
    the paper's logarithm would have to be exact at just these places.
    """
    first, buckets = 0, num_buckets
    if not causal:
        buckets //= 2
        first = buckets if offset > 0 else 0
    distance = max(-offset, 0) if causal else abs(offset)
    exact = buckets // 2
    if distance < exact:
        return first + distance
    span = buckets - exact
    passed = [b for b in range(span) if distance**span * exact**b >= max_distance**b * exact**span]
    return first + exact + passed[-1]


def t5_bias(
    w: Weights,
    q_pos: Array,
    k_pos: Array,
    num_heads: int,
    causal: bool,
    *,
    num_buckets: int = 32,
    max_distance: int = 128,
) -> Array:
    """[H, T, S] from the table `weight` [num_buckets, H]."""
    out = np.zeros((num_heads, len(q_pos), len(k_pos)))
    for t, i in enumerate(q_pos):
        for s, j in enumerate(k_pos):
            bucket = t5_bucket(int(j - i), causal=causal, num_buckets=num_buckets, max_distance=max_distance)
            out[:, t, s] = w["weight"][bucket]
    return out


def shaw(w: Weights, q_pos: Array, k_pos: Array, *, table: str, max_distance: int = 16) -> Array:
    """Shaw et al. 2018: row clip(j - i, -k, k) + k of a table of 2k + 1 rows, [T, S, K]."""
    rows = w[table]
    if len(rows) != 2 * max_distance + 1:
        raise ValueError(f"{table} has {len(rows)} rows, not {2 * max_distance + 1}")
    return np.array(
        [
            [rows[max(-max_distance, min(max_distance, int(j - i))) + max_distance] for j in k_pos]
            for i in q_pos
        ]
    )


def shaw_scores(w: Weights, q: Array, q_pos: Array, k_pos: Array, *, max_distance: int = 16) -> Array:
    """What the key table adds to the unscaled logits of q [..., T, K]: q_i . a_ij, [..., T, S]."""
    return (q[..., None, :] * shaw(w, q_pos, k_pos, table="key_table", max_distance=max_distance)).sum(-1)


def shaw_values(w: Weights, p: Array, q_pos: Array, k_pos: Array, *, max_distance: int = 16) -> Array:
    """What the value table adds to the output under probabilities p [..., T, S]: sum_j p_ij a_ij, [..., T, K]."""
    return (p[..., None] * shaw(w, q_pos, k_pos, table="value_table", max_distance=max_distance)).sum(-2)


@dataclass(frozen=True, kw_only=True)
class PositionOracle:
    """Where an encoding acts, each place None if it does not. All take the part's options by name.

    embed(w, x [B, T, D], positions [T]); rotate(x [..., T, K], positions, which, length, max_seq_len), `which` q or k;
    bias(w, q_pos, k_pos, num_heads, causal) [H, T, S]; key_vectors, value_vectors(w, q_pos, k_pos) [T, S, K].
    score(w, q, q_pos, k_pos) [..., T, S] and value(w, p, q_pos, k_pos) [..., T, K] say the vectors once more, as
    terms of unscaled logits and of the output.
    """

    embed: Callable[..., Array] | None = None
    rotate: Callable[..., Array] | None = None
    bias: Callable[..., Array] | None = None
    key_vectors: Callable[..., Array] | None = None
    value_vectors: Callable[..., Array] | None = None
    score: Callable[..., Array] | None = None
    value: Callable[..., Array] | None = None


def _sinusoidal(w: Weights, x: Array, positions: Array) -> Array:
    places = np.asarray(positions).astype(int)
    return x + sinusoidal_table(int(places.max()) + 1, x.shape[-1])[places]


def _learned(w: Weights, x: Array, positions: Array, *, offset: int = 0) -> Array:
    return x + w["weight"][np.asarray(positions).astype(int) + offset]


_ROTARY = (
    "rope",
    "rope_linear",
    "rope_ntk",
    "rope_dynamic",
    "rope_yarn_paper",
    "rope_yarn",
    "rope_llama3",
    "rope_longrope",
)
#: What each encoding does, by name.
POSITION: dict[str, PositionOracle] = {
    "none": PositionOracle(),
    "sinusoidal": PositionOracle(embed=_sinusoidal),
    "learned": PositionOracle(embed=_learned),
    "shaw": PositionOracle(
        key_vectors=partial(shaw, table="key_table"),
        value_vectors=partial(shaw, table="value_table"),
        score=shaw_scores,
        value=shaw_values,
    ),
    "t5": PositionOracle(bias=t5_bias),
    "alibi": PositionOracle(bias=alibi_bias),
    **{name: PositionOracle(rotate=partial(rotated, name=name)) for name in _ROTARY},
    "rope_interleaved": PositionOracle(rotate=partial(rotated, name="rope", layout="interleaved")),
    "xpos": PositionOracle(rotate=xpos),
}
