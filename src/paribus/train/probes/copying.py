"""How much of what was written is new: distinct n-grams, and the longest span copied from the training text.

The search is exact. Spans are found by a rolling hash and then compared token by token; the text is read once, in
chunks, and each chunk is only asked for spans longer than the best so far, so the cost is about that of reading.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

_CHUNK = 2**19  # starts of spans at a time; about ten arrays of 8 bytes each are held
_BITS = 20  # of a hash, looked up in a table before anything is compared
_BASE = 0x9E3779B97F4A7C15  # odd, so it has an inverse modulo 2^64
# Of splitmix64 (Steele, Lea and Flood 2014): tokens become 64 random-looking bits before they are summed.
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)

Ids = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]


def distinct(ids_NT: Ids, n: int) -> float | None:
    """Distinct n-grams over all n-grams of the rows (none reaches over two rows); None for rows shorter than n.

    Source: Li et al. 2016 (arXiv:1510.03055), who divide by the number of words.
    """
    if ids_NT.shape[1] < n or not len(ids_NT):
        return None
    grams = np.lib.stride_tricks.sliding_window_view(ids_NT, n, axis=1).reshape(-1, n)
    return len(np.unique(grams, axis=0)) / len(grams)


def longest_copy(
    ids_NT: Ids, read: Callable[[int, int], npt.NDArray[Any]], num_tokens: int, *, hash_bits: int = 64
) -> Ids:
    """The longest run of tokens in a row of `ids_NT` that also stands in a text; of several, an early one.

    `read(start, length)` gives tokens of the text, of which there are `num_tokens`. `hash_bits` below 64 makes
    hashes collide, which costs time and changes nothing.
    """
    rows = ids_NT.shape[1]
    best = ids_NT[:0].reshape(-1)[:0]
    if not ids_NT.size:
        return best
    powers = _Powers(min(_CHUNK, num_tokens) + rows)
    spans: dict[int, _Spans] = {}

    def of_length(length: int) -> _Spans:
        if length not in spans:
            spans[length] = _Spans(ids_NT, length, powers, hash_bits)
        return spans[length]

    for start in range(0, num_tokens, _CHUNK):
        text = read(start, min(_CHUNK + rows - 1, num_tokens - start)).astype(np.int64)
        hashed = _prefix(text, powers)
        longest = min(rows, len(text))
        # If a span is there, so are all shorter ones: lengths grow by doubling, and are halved in upon then.
        low, high, step = len(best), longest + 1, 1
        while low + 1 < high:
            length = min(low + step, high - 1) if step else (low + high) // 2
            found = of_length(length).first_in(text, hashed, powers)
            if found is None:
                high, step = length, 0
            else:
                best, low, step = found, length, 2 * step
        spans = {length: each for length, each in spans.items() if length == len(best) + 1}
        if len(best) == rows:
            break
    return best


class _Powers:
    """Powers of the base and of its inverse, modulo 2^64."""

    def __init__(self, count: int) -> None:
        inverse = pow(_BASE, -1, 2**64)
        self.up, self.down = (_powers_of(base, count) for base in (_BASE, inverse))


def _powers_of(base: int, count: int) -> Hashes:
    factors = np.full(count + 1, base, dtype=np.uint64)
    factors[0] = 1
    return np.cumprod(factors)


def _prefix(ids: Ids, powers: _Powers) -> Hashes:
    """[..., T + 1]: sums of mix(token) · base^i over the first tokens."""
    mixed = (ids.astype(np.uint64) + np.uint64(1)) * _MIX_1
    mixed ^= mixed >> np.uint64(29)
    mixed *= _MIX_2
    mixed ^= mixed >> np.uint64(32)
    sums = np.zeros((*ids.shape[:-1], ids.shape[-1] + 1), dtype=np.uint64)
    np.cumsum(mixed * powers.up[: ids.shape[-1]], axis=-1, out=sums[..., 1:])
    return sums


def _hashes(prefix: Hashes, length: int, powers: _Powers, bits: int) -> Hashes:
    """Hash of the span of `length` tokens at every place: that of its tokens alone, wherever it stands."""
    sums = (prefix[..., length:] - prefix[..., :-length]) * powers.down[: prefix.shape[-1] - length]
    return sums & ~np.uint64(2 ** (64 - bits) - 1)


def _equal(one: Ids, starts: Ids, other: Ids, other_starts: Ids, length: int) -> npt.NDArray[np.bool_]:
    """Which spans of two rows of tokens are the same, token by token; a few million tokens at a time."""
    ones, others = (np.lib.stride_tricks.sliding_window_view(row, length) for row in (one, other))
    same = np.zeros(len(starts), dtype=bool)
    block = max(1, 2**22 // length)
    for first in range(0, len(starts), block):
        part = slice(first, first + block)
        same[part] = (ones[starts[part]] == others[other_starts[part]]).all(axis=1)
    return same


class _Spans:
    """All spans of one length, each once, to be looked for."""

    def __init__(self, ids_NT: Ids, length: int, powers: _Powers, bits: int) -> None:
        self.length, self.bits = length, bits
        self.ids = np.ascontiguousarray(ids_NT).ravel()
        count, rows = ids_NT.shape
        starts = (np.arange(count)[:, None] * rows + np.arange(rows - length + 1)).ravel()
        hashes = _hashes(_prefix(ids_NT, powers), length, powers, bits).ravel()
        order = np.argsort(hashes, kind="stable")
        hashes, starts = hashes[order], starts[order]
        new = np.ones(len(hashes), dtype=bool)
        alike = np.flatnonzero(hashes[1:] == hashes[:-1]) + 1
        # Spans that collide are all kept: only a repetition may go.
        new[alike] = ~_equal(self.ids, starts[alike], self.ids, starts[alike - 1], length)
        self.hashes, self.starts = hashes[new], starts[new]
        self.most_alike = int(np.unique(self.hashes, return_counts=True)[1].max())
        self.table = np.zeros(2**_BITS, dtype=bool)
        self.table[self.hashes >> np.uint64(64 - _BITS)] = True

    def first_in(self, text: Ids, prefix: Hashes, powers: _Powers) -> Ids | None:
        """A span that stands in the text, or None."""
        hashes = _hashes(prefix, self.length, powers, self.bits)
        places = np.flatnonzero(self.table[hashes >> np.uint64(64 - _BITS)])
        first = np.searchsorted(self.hashes, hashes[places])
        for offset in range(self.most_alike):
            index = np.minimum(first + offset, len(self.hashes) - 1)
            alike = np.flatnonzero(self.hashes[index] == hashes[places])
            # Common spans are found at once, so few are looked at first.
            for block in np.split(alike, range(256, len(alike), 4096)):
                starts = self.starts[index[block]]
                same = _equal(text, places[block], self.ids, starts, self.length)
                if same.any():
                    start = starts[np.argmax(same)]
                    return self.ids[start : start + self.length]
        return None
