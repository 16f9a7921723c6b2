"""Position encodings: tables, rotations, biases, and the frequencies of every scaling of RoPE."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, exp, floor, log, pi, sqrt
from typing import Any

import numpy as np

from paribus.oracles.arrays import Array, Weights


def sinusoidal_table(length: int, d_model: int) -> Array:
    """Row p: sin(p / 10000^(2i/d)) in channel 2i, the cosine in channel 2i + 1."""
    table = np.zeros((length, d_model))
    for p in range(length):
        for i in range(d_model // 2):
            angle = p / 10000 ** (2 * i / d_model)
            table[p, 2 * i], table[p, 2 * i + 1] = np.sin(angle), np.cos(angle)
    return table


# --- rotations -------------------------------------------------------------------------------------------


def rope_interleaved(x: Array, positions: Array, base: float = 10000.0) -> Array:
    """RoFormer's own layout: the pair (2i, 2i + 1) of x [..., T, K] as a complex number times e^(i p theta_i)."""
    return turned(x, positions, base ** (-np.arange(0, x.shape[-1], 2) / x.shape[-1]))


def turned(x: Array, positions: Array, theta: Array) -> Array:
    """Pair (2i, 2i + 1) of x [..., T, 2n] turned by p theta_i."""
    pairs = (x[..., 0::2] + 1j * x[..., 1::2]) * np.exp(1j * positions[:, None] * theta)
    out = np.empty_like(x)
    out[..., 0::2], out[..., 1::2] = pairs.real, pairs.imag
    return out


def half_split_order(head_dim: int) -> list[int]:
    """perm with half(q[perm]) == interleaved(q)[perm]: [0, 2, ..., 1, 3, ...]."""
    return [*range(0, head_dim, 2), *range(1, head_dim, 2)]


def half_split(rotation: Callable[[Array], Array], x: Array) -> Array:
    """A rotation of neighbouring channels, applied to channels i and i + K/2."""
    order = half_split_order(x.shape[-1])
    return rotation(x[..., np.argsort(order)])[..., order]


def rope(x: Array, positions: Array, base: float = 10000.0) -> Array:
    """Half-split layout: the interleaved rotation of the same pairs under `half_split_order`."""
    return half_split(lambda y: rope_interleaved(y, positions, base), x)


def frequencies(
    name: str,
    channels: int,
    *,
    length: int,
    original_length: int,
    base: float = 10000.0,
    factor: float = 4.0,
    slow: float = 1.0,
    fast: float = 32.0,
    low: float = 1.0,
    high: float = 4.0,
    truncate: bool = True,
    short_factor: Sequence[float] | None = None,
    long_factor: Sequence[float] | None = None,
) -> tuple[Array, float]:
    """(theta_i, factor on queries and keys) of `rope` and each scaling, pair by pair."""
    pairs = channels // 2
    theta = [exp(-2 * i / channels * log(base)) for i in range(pairs)]
    s, big_l = factor, float(original_length)
    scale = 1.0
    if name == "rope_linear":
        theta = [t / s for t in theta]
    elif name in ("rope_ntk", "rope_dynamic"):
        ratio = s if name == "rope_ntk" else max(s * max(length, big_l) / big_l - (s - 1), 1.0)
        raised = base * ratio ** (channels / (channels - 2))
        theta = [raised ** (-2 * i / channels) for i in range(pairs)]
    elif name in ("rope_yarn_paper", "rope_llama3"):
        few, many = (slow, fast) if name == "rope_yarn_paper" else (low, high)
        for i, t in enumerate(theta):
            wavelength = 2 * pi / t
            kept = min(max((big_l / wavelength - few) / (many - few), 0.0), 1.0)
            theta[i] = (1 - kept) * t / s + kept * t
    elif name == "rope_yarn":

        def pair_of(turns: float) -> float:
            return channels * log(big_l / (turns * 2 * pi)) / (2 * log(base))

        start, end = pair_of(fast), pair_of(slow)
        if truncate:
            start, end = floor(start), ceil(end)
        start, end = max(start, 0), min(end, channels - 1)
        for i, t in enumerate(theta):
            ramp = min(max((i - start) / max(end - start, 1e-3), 0.0), 1.0)
            theta[i] = t / s * ramp + t * (1 - ramp)
    elif name == "rope_longrope":
        divisors = long_factor if length > original_length else short_factor
        theta = [t / d for t, d in zip(theta, divisors or [1.0] * pairs, strict=True)]
        scale = sqrt(1 + log(s) / log(big_l)) if s > 1 else 1.0
    if name in ("rope_yarn", "rope_yarn_paper"):
        scale = 0.1 * log(s) + 1
    return np.array(theta), scale


def rotated(
    name: str,
    x: Array,
    positions: Array,
    *,
    which: str,
    length: int,
    max_seq_len: int,
    layout: str = "half",
    fraction: float = 1.0,
    **options: Any,
) -> Array:
    """Queries (`which` q) or keys (k) of a member of the RoPE family, x [..., T, K]."""
    channels = round(fraction * x.shape[-1])
    defaults = {"rope_llama3": {"factor": 8.0, "original_length": 8192}}.get(name, {})
    options = {"original_length": max_seq_len, **defaults, **options}
    theta, scale = frequencies(name, channels, length=length, **options)

    def rotation(y: Array) -> Array:
        if name == "xpos":
            zeta = (np.arange(0, channels, 2) / channels + 0.4) / 1.4
            power = zeta ** (positions[:, None] / 512 * (1 if which == "q" else -1))
            return turned(y, positions, theta) * np.repeat(power, 2, axis=-1)
        return scale * turned(y, positions, theta)

    head = x[..., :channels]
    out = rotation(head) if layout == "interleaved" else half_split(rotation, head)
    return np.concatenate((out, x[..., channels:]), axis=-1)


# --- biases and relative vectors -------------------------------------------------------------------------


def alibi_slopes(heads: int) -> list[float]:
    """Press et al. 2022: 2^(-8h/n); other head counts fill up from the next power of two, every other one."""

    def of_power(n: int) -> list[float]:
        return [0.5 ** (8 * (h + 1) / n) for h in range(n)]

    below = 1
    while below * 2 <= heads:
        below *= 2
    return (of_power(below) + of_power(2 * below)[::2])[:heads]


def alibi_bias(query: Array, key: Array, heads: int) -> Array:
    """-m_h |i - j|, [H, T, S]."""
    return np.array([[[-m * abs(i - j) for j in key] for i in query] for m in alibi_slopes(heads)])


def t5_bucket(offset: int, *, causal: bool, num_buckets: int = 32, max_distance: int = 128) -> int:
    """Bucket of key position minus query position."""
    start = 0
    if causal:
        distance = max(-offset, 0)
    else:
        num_buckets //= 2
        start = num_buckets if offset > 0 else 0
        distance = abs(offset)
    exact = num_buckets // 2
    if distance < exact:
        return start + distance
    spread = log(distance / exact) / log(max_distance / exact) * (num_buckets - exact)
    return start + min(num_buckets - 1, exact + int(spread + 1e-9))


def t5_bias(w: Weights, query: Array, key: Array, *, causal: bool) -> Array:
    """[H, T, S] from the table `weight` [buckets, H]."""
    rows = [[w["weight"][t5_bucket(int(j - i), causal=causal)] for j in key] for i in query]
    return np.array(rows).transpose(2, 0, 1)


def shaw_vectors(table: Array, query: Array, key: Array) -> Array:
    """Row clip(j - i, -k, k) + k of a table of 2k + 1 rows, [T, S, K]."""
    k = (len(table) - 1) // 2
    return np.array([[table[int(np.clip(j - i, -k, k)) + k] for j in key] for i in query])


@dataclass(frozen=True, kw_only=True)
class PositionOracle:
    """Where an encoding acts, each place None if it does not.

    embed(w, x [B, T, D], positions); rotate(x [..., T, K], positions, which=, length=, max_seq_len=);
    bias(w, query, key, heads=, causal=) [H, T, S]; vectors(w, query, key) of keys and of values, [T, S, K].
    """

    embed: Callable[..., Array] | None = None
    rotate: Callable[..., Array] | None = None
    bias: Callable[..., Array] | None = None
    key_vectors: Callable[..., Array] | None = None
    value_vectors: Callable[..., Array] | None = None


def _rotary(name: str, **fixed: Any) -> PositionOracle:
    return PositionOracle(rotate=lambda x, positions, **o: rotated(name, x, positions, **{**fixed, **o}))


_ROTARY = ("rope", "rope_linear", "rope_ntk", "rope_dynamic", "rope_yarn_paper", "rope_yarn")
POSITION: dict[str, PositionOracle] = {
    "none": PositionOracle(),
    "sinusoidal": PositionOracle(
        embed=lambda w, x, p: x + sinusoidal_table(int(p.max()) + 1, x.shape[-1])[p.astype(int)]
    ),
    "learned": PositionOracle(embed=lambda w, x, p: x + w["weight"][p.astype(int)]),
    "shaw": PositionOracle(
        key_vectors=lambda w, q, k: shaw_vectors(w["key_table"], q, k),
        value_vectors=lambda w, q, k: shaw_vectors(w["value_table"], q, k),
    ),
    "t5": PositionOracle(bias=lambda w, q, k, heads, causal: t5_bias(w, q, k, causal=causal)),
    "alibi": PositionOracle(bias=lambda w, q, k, heads, causal: alibi_bias(q, k, heads)),
    "rope_interleaved": _rotary("rope", layout="interleaved"),
    "xpos": _rotary("xpos"),
    **{name: _rotary(name) for name in (*_ROTARY, "rope_llama3", "rope_longrope")},
}
