"""A 64-bit fingerprint of every n items in a row, by doubling: that of 2 L items is made from those of its halves.

Equal runs have equal fingerprints; different ones differ but for a chance of about 2^-64 a pair. Whoever needs more
compares the items.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Fingerprints = npt.NDArray[np.uint64]

# Odd constants of splitmix64 (Steele, Lea and Flood 2014) and of its first two outputs.
_STEPS = tuple(
    np.uint64(value)
    for value in (
        0x9E3779B97F4A7C15,
        0xBF58476D1CE4E5B9,
        0x94D049BB133111EB,
        0xE220A8397B1DCDAF,
        0x6E789E6AA1B965F5,
    )
)


def fingerprints(items: npt.NDArray[Any], length: int) -> Fingerprints:
    """uint64 [len(items) - length + 1]: one for each run of `length` items; none if there are fewer items."""
    if len(items) < length:
        return np.empty(0, dtype=np.uint64)
    hashes = items.astype(np.uint64)
    hashes *= _STEPS[1]
    reach, step = 1, 0
    while reach < length:
        add = min(reach, length - reach)  # the last two runs overlap
        later = hashes[add:]
        hashes = hashes[: len(later)] * _STEPS[step % len(_STEPS)]
        hashes += later
        reach, step = reach + add, step + 1
    # So far every bit depends on lower ones only.
    hashes ^= hashes >> np.uint64(32)
    hashes *= _STEPS[2]
    return hashes


def mixed(hashes: Fingerprints) -> Fingerprints:
    """Every bit of the result depends on every bit; different for different hashes."""
    hashes = hashes ^ (hashes >> np.uint64(30))
    hashes *= _STEPS[1]
    hashes ^= hashes >> np.uint64(27)
    hashes *= _STEPS[2]
    hashes ^= hashes >> np.uint64(31)
    return hashes
