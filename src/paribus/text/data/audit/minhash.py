"""MinHash: of each document the least shingle under 112 permutations, in 14 bands of 8 rows.

Under a random permutation, the least elements of two sets A and B are the same with the probability of their Jaccard
similarity s = |A & B| / |A | B| (Broder 1997, "On the resemblance and containment of documents"). Two documents meet if
all rows of a band agree, which has the probability 1 - (1 - s^8)^14: 0.06 at s = 0.5, 0.92 at 0.8, 0.9996 at 0.9. The
defaults are those of datatrove. Meeting is a reason to compare, never a verdict: that is `clusters.py`'s.

`near_duplicates.py` sketches each byte once and in a sixth of the time, which is enough to keep copies on one side of a
split; an audit says how similar, so it takes words, all permutations, and compares what it finds.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from paribus.text.data.audit.fingerprints import Fingerprints, mixed
from paribus.text.data.audit.shingles import Shingles

BANDS, ROWS = 14, 8
# A permutation of 32-bit numbers is a multiplication by an odd one; the shingles are random numbers already.
_FACTORS = mixed(np.arange(1, BANDS * ROWS + 1, dtype=np.uint64)).astype(np.uint32) | np.uint32(1)
_STEP = np.uint64(0x9E3779B97F4A7C15)


def bands(found: Shingles) -> Fingerprints:
    """uint64 [documents, 14]: equal in a column where two documents meet; zeros for one without shingles."""
    out = np.zeros((len(found.counts), BANDS), dtype=np.uint64)
    some = np.flatnonzero(found.counts)
    if not len(some):
        return out
    low = (found.hashes >> np.uint64(32)).astype(np.uint32)
    starts, permuted = found.starts[some], np.empty_like(low)
    for band in range(BANDS):
        joined = np.zeros(len(some), dtype=np.uint64)
        for factor in _FACTORS[band * ROWS : (band + 1) * ROWS]:
            np.multiply(low, factor, out=permuted)
            joined = mixed(joined * _STEP + np.minimum.reduceat(permuted, starts))
        out[some, band] = joined
    return out


def meeting(similarity: float) -> float:
    """The probability 1 - (1 - s^8)^14 that two documents of this similarity are compared."""
    return 1 - (1 - similarity**ROWS) ** BANDS


def met(bands_of: Fingerprints) -> npt.NDArray[np.int64]:
    """int64 [documents, 14]: in each band the number of the document's bucket, or -1 where it is there alone."""
    buckets = np.full(bands_of.shape, -1, dtype=np.int64)
    before = 0
    for band in range(bands_of.shape[1]):
        _, number, size = np.unique(bands_of[:, band], return_inverse=True, return_counts=True)
        shared = np.cumsum(size > 1) - 1 + before
        together = size[number] > 1
        buckets[together, band] = shared[number[together]]
        before += int((size > 1).sum())
    return buckets
