"""Random numbers as a pure function of (seed, step, purpose), laid out row by row.

Row r takes the numbers from r * length on, so it has the same draws however many rows follow. Only the raw
words of the bit generator are used: their stream is fixed by numpy's policy, that of `Generator`'s methods is not.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt


def uniforms(rows: int, length: int, *, seed: int, step: int, purpose: str) -> npt.NDArray[np.float64]:
    """[rows, length] float64 in [0, 1), multiples of 2^-53."""
    digest = hashlib.sha256(f"paribus objective\0{seed}\0{step}\0{purpose}".encode()).digest()
    words = np.random.Philox(key=int.from_bytes(digest[:16], "little")).random_raw(rows * length)
    return (words.reshape(rows, length) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def chosen(
    rows: int, length: int, count: int, *, seed: int, step: int, purpose: str
) -> npt.NDArray[np.bool_]:
    """[rows, length] bool with exactly `count` true in each row, every such row equally likely."""
    out = np.zeros((rows, length), dtype=np.bool_)
    if count > 0:
        numbers = uniforms(rows, length, seed=seed, step=step, purpose=purpose)
        smallest = np.argpartition(numbers, count - 1, axis=1)[:, :count]
        np.put_along_axis(out, smallest, True, axis=1)
    return out
