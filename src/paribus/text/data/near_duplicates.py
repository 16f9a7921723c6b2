"""Which documents are nearly the same: MinHash sketches of what they say, and groups of those that agree.

A document is the set of its 16-byte shingles with blanks left out, so that text wrapped or indented anew
stays what it was. Two documents belong together if the Jaccard similarity |A & B| / |A | B| of their sets is
at least 1/2 by their sketches (Broder 1997, "On the resemblance and containment of documents"). A sketch
holds the least hash in each of 64 bins (Li, Owen and Zhang 2012, "One permutation hashing"); an empty bin
borrows from another (Shrivastava 2017, "Optimal densification"). Compared are only pairs that agree in one of
16 bands of 4 bins and are neighbours there. Of pairs with a similarity of 0.5 this finds a third, of 0.6 five
in six, of 0.7 all but one in fifty, of 0.3 none.

Everything follows from the contents. What a group means for the split belongs in `documents.py`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SHINGLE_BYTES = 16
BINS = 64
LEAST_MATCHES = BINS // 2
_BAND = 4
_BLANKS = b" \t\n\v\f\r"
# So that what is computed on the way stays in the cache of a core.
_BLOCK_BYTES = 2**16
_COMPARED_AT_ONCE = 2**14

Sketches = npt.NDArray[np.uint16]
"""[documents, 64]: 16 bits of the least hash in each bin."""
_Hashes = npt.NDArray[np.uint32]

_EMPTY = np.uint32(2**32 - 1)
_ALL = 2**31  # hashes have 31 bits
_CANDIDATES = 12 * BINS
# Odd constants of xxHash32 (Collet 2012).
_PRIME_1, _PRIME_2, _PRIME_3 = (np.uint32(prime) for prime in (2654435761, 2246822519, 3266489917))


class Sketcher:
    """Sketches of the documents that it is given, in that order: 128 bytes of memory for each.

    Documents wait until there are 64 kB of them: for a short one, the calls of numpy cost more than the work.
    """

    def __init__(self) -> None:
        self._done = bytearray()
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        # Kept, because memory that is new to the process costs more than what is computed in it.
        self._scratch = np.empty((3, _BLOCK_BYTES + SHINGLE_BYTES), dtype=np.uint32)

    def add(self, content: bytes) -> None:
        dense = content.translate(None, _BLANKS).ljust(SHINGLE_BYTES, b"\0")
        if self._waiting_bytes + len(dense) > _BLOCK_BYTES:
            self._sketch_waiting()
        self._waiting.append(dense)
        self._waiting_bytes += len(dense)

    def sketches(self) -> Sketches:
        """uint16 [documents, 64]."""
        self._sketch_waiting()
        return np.frombuffer(self._done, dtype=np.uint16).reshape(-1, BINS)

    def _sketch_waiting(self) -> None:
        if self._waiting:
            self._done += _borrowed(self._least(self._waiting)).tobytes()
        self._waiting, self._waiting_bytes = [], 0

    def _least(self, contents: list[bytes]) -> _Hashes:
        """[contents, 64]: the least hash in each bin, of short documents or of one longer than a block."""
        shingles = np.array([len(content) - SHINGLE_BYTES + 1 for content in contents])
        # The least hash of a bin is small, so at first only so many are looked at as should fill all bins.
        limits = np.minimum(_ALL * _CANDIDATES // shingles, _ALL)
        least = np.full((len(contents), BINS), _EMPTY)
        thin = np.arange(len(contents))
        while len(thin):
            for start in range(0, int(shingles[thin].max()), _BLOCK_BYTES):
                end = start + _BLOCK_BYTES + SHINGLE_BYTES - 1
                self._lower(least, thin, [contents[row][start:end] for row in thin.tolist()], limits[thin])
            thin = thin[(least[thin] == _EMPTY).any(axis=1) & (limits[thin] < _ALL)]
            limits[thin] = np.minimum(8 * limits[thin], _ALL)
        return least

    def _lower(
        self, least: _Hashes, rows: npt.NDArray[np.int64], parts: list[bytes], limits: npt.NDArray[np.int64]
    ) -> None:
        """Lower least[rows[i]] to the least hash below limits[i] of each bin in parts[i]."""
        hashes = _hashes(b"".join(parts), self._scratch)
        ends = np.cumsum([len(part) for part in parts])
        bounds = self._scratch[2, : len(hashes)]
        start = 0
        # A bound of 0 keeps out what begins in one document and ends in the next.
        for end, limit in zip(ends.tolist(), limits.tolist(), strict=True):
            bounds[start : end - SHINGLE_BYTES + 1] = limit
            bounds[end - SHINGLE_BYTES + 1 : end] = 0
            start = end
        found = np.flatnonzero(hashes < bounds)
        small = hashes[found]
        owner = np.repeat(rows, np.diff(np.searchsorted(found, ends), prepend=0))
        np.minimum.at(least.reshape(-1), owner * BINS + (_mixed(small) >> np.uint32(26)), small)


def near_duplicate_groups(sketches: Sketches) -> npt.NDArray[np.int64]:
    """int64 [documents]: the group of each, named by the lowest row in it; alone, a document names itself."""
    group = np.arange(len(sketches), dtype=np.int64)
    for first in range(0, BINS, _BAND):
        bands = np.ascontiguousarray(sketches[:, first : first + _BAND]).view(np.uint64)[:, 0]
        order = np.argsort(bands, kind="stable")
        starts = np.concatenate([[True], bands[order[1:]] != bands[order[:-1]]])
        later = np.flatnonzero(~starts)
        # With the one before and the first of its band: one there by chance does not part the others.
        before = np.concatenate(
            [later - 1, np.maximum.accumulate(np.where(starts, np.arange(len(order)), 0))[later]]
        )
        one, other = order[before], order[np.concatenate([later, later])]
        apart = group[one] != group[other]
        one, other = one[apart], other[apart]
        alike = _alike(sketches, one, other)
        _unite(group, one[alike], other[alike])
    return group


def _alike(
    sketches: Sketches, one: npt.NDArray[np.int64], other: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    out = np.empty(len(one), dtype=np.bool_)
    for first in range(0, len(one), _COMPARED_AT_ONCE):
        part = slice(first, first + _COMPARED_AT_ONCE)
        out[part] = (sketches[one[part]] == sketches[other[part]]).sum(axis=1) >= LEAST_MATCHES
    return out


def _unite(group: npt.NDArray[np.int64], one: npt.NDArray[np.int64], other: npt.NDArray[np.int64]) -> None:
    """Join the groups of one[i] and other[i], for all i at once; a group keeps its lowest name."""
    while len(one):
        low = np.minimum(group[one], group[other])
        high = np.maximum(group[one], group[other])
        np.minimum.at(group, high, low)
        while (group[group] != group).any():
            group[:] = group[group]
        apart = group[one] != group[other]
        one, other = one[apart], other[apart]


def _hashes(text: bytes, scratch: _Hashes) -> _Hashes:
    """31 bits of every 16 bytes in a row, made from those of its halves: a view of scratch[0]."""
    length = len(text) - 3
    four, eight, shifted = scratch[0, :length], scratch[1, : length - 4], scratch[2, : length - 4]
    np.multiply(np.ndarray((length,), dtype="<u4", buffer=text, strides=(1,)), _PRIME_1, out=four)
    np.multiply(four[:-4], _PRIME_2, out=eight)
    eight += four[4:]
    np.right_shift(eight, np.uint32(16), out=shifted)
    eight ^= shifted
    sixteen = scratch[0, : length - 12]
    np.multiply(eight[:-8], _PRIME_3, out=sixteen)
    sixteen += eight[8:]
    sixteen >>= np.uint32(1)
    return sixteen


def _mixed(hashes: _Hashes) -> _Hashes:
    """32 bits of each hash that its size says nothing of; different for different hashes."""
    mixed = hashes * _PRIME_2
    mixed ^= mixed >> np.uint32(16)
    return mixed * _PRIME_3


# Row b: all bins, in the order in which bin b asks them when it is empty.
_LENDERS = np.argsort(_mixed(np.arange(BINS**2, dtype=np.uint32)).reshape(BINS, BINS), axis=1, kind="stable")


def _borrowed(least: _Hashes) -> Sketches:
    """16 bits of every bin; an empty one has those of the first in its row of `_LENDERS` that is not."""
    empty = least == _EMPTY
    sketches = _mixed(least).astype(np.uint16)
    row, into = np.nonzero(empty)
    turn = 0
    while len(row):
        lender = _LENDERS[into, turn]
        lent = ~empty[row, lender]
        sketches[row[lent], into[lent]] = sketches[row[lent], lender[lent]]
        row, into = row[~lent], into[~lent]
        turn += 1
    return sketches
