"""Position encodings."""

import numpy as np

from paribus.oracles.arrays import Array


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
