"""The frequencies of RoPE and of each of its scalings to longer sequences."""

from collections.abc import Sequence
from math import ceil, floor, log, pi, sqrt

import numpy as np

from paribus.oracles.arrays import Array


def kept_share(theta: float, length: float, few: float, many: float) -> float:
    """0 for a pair that turns at most `few` times in `length` tokens, 1 from `many` times on, linear between."""
    turns = length * theta / (2 * pi)
    return min(1.0, max(0.0, (turns - few) / (many - few)))


def frequencies(
    name: str,
    channels: int,
    *,
    base: float = 10000.0,
    length: int,
    original_length: int,
    factor: float = 4.0,
    slow: float = 1.0,
    fast: float = 32.0,
    truncate: bool = True,
    low: float = 1.0,
    high: float = 4.0,
    short_factor: Sequence[float] | None = None,
    long_factor: Sequence[float] | None = None,
    attention_factor: float | None = None,
) -> tuple[Array, float]:
    """(theta_i for pair i of `channels`, the factor on cosine and sine), by the name of the encoding.

    `length`: of the sequence at hand; `original_length` L: what the model was trained on; `factor` s.
    - rope, xpos: b^(-2i/d). rope_linear (Chen et al. 2023): theta / s.
    - rope_ntk (bloc97 2023): b s^(d/(d-2)) for b; rope_dynamic: s n/L - (s - 1) for s once n = length exceeds L.
    - rope_yarn_paper (Peng et al. 2023): ramp between `slow` and `fast` turns in L, linear in the turns.
    - rope_yarn (transformers): ramp linear in the pair's index between the two, rounded outwards if `truncate`.
    - rope_llama3: the paper's ramp between `low` and `high` turns, and no factor.
    - rope_longrope (Ding et al. 2024): theta_i over its own factor, the long ones for length > L.
    Cosine and sine are multiplied by 0.1 ln s + 1 (yarn), by sqrt(1 + ln s / ln L) (longrope), or as told.
    """
    pairs = channels // 2
    theta = [base ** (-2 * i / channels) for i in range(pairs)]
    attention = 1.0
    if name in ("rope", "xpos"):
        pass
    elif name == "rope_linear":
        theta = [t / factor for t in theta]
    elif name in ("rope_ntk", "rope_dynamic"):
        stretch = factor
        if name == "rope_dynamic":
            n = max(length, original_length)
            stretch = factor * n / original_length - (factor - 1)
        higher = base * stretch ** (channels / (channels - 2))
        theta = [higher ** (-2 * i / channels) for i in range(pairs)]
    elif name in ("rope_yarn_paper", "rope_llama3"):
        few, many = (low, high) if name == "rope_llama3" else (slow, fast)
        kept = [kept_share(t, original_length, few, many) for t in theta]
        theta = [k * t + (1 - k) * t / factor for t, k in zip(theta, kept, strict=True)]
    elif name == "rope_yarn":
        # The index, not whole, of the pair that makes so many turns in L.
        first, last = (
            channels * log(original_length / (turns * 2 * pi)) / (2 * log(base)) for turns in (fast, slow)
        )
        if truncate:
            first, last = floor(first), ceil(last)
        first, last = max(first, 0), min(last, channels - 1)
        if first == last:
            last += 0.001
        for i, t in enumerate(theta):
            slowed = min(1.0, max(0.0, (i - first) / (last - first)))
            theta[i] = slowed * t / factor + (1 - slowed) * t
    elif name == "rope_longrope":
        divisors = long_factor if length > original_length else short_factor
        if divisors is not None:
            theta = [t / divisor for t, divisor in zip(theta, divisors, strict=True)]
        if factor > 1:
            attention = sqrt(1 + log(factor) / log(original_length))
    else:
        raise NotImplementedError(f"write the oracle of frequencies {name!r}")
    if name in ("rope_yarn", "rope_yarn_paper") and factor > 1:
        attention = 0.1 * log(factor) + 1
    return np.array(theta), attention if attention_factor is None else attention_factor
