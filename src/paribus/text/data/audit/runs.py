"""All runs of n tokens that lie within one document: their fingerprints part by part, and whether two are the same."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from paribus.text.data.audit.fingerprints import Fingerprints, fingerprints
from paribus.text.tokenizers import TokenArray

Positions = npt.NDArray[np.int64]

_CHUNK = 2**14  # so that what is computed on the way stays in the cache of a core


@dataclass(frozen=True, kw_only=True)
class Runs:
    """Runs of `length` tokens, known by their first position; `ends` are where the documents end, rising."""

    tokens: TokenArray
    ends: Positions
    length: int

    @property
    def positions(self) -> int:
        """One more than the last position that a run could have."""
        return max(len(self.tokens) - self.length + 1, 0)

    def parts(self, number: int) -> list[tuple[int, int]]:
        """All positions as `number` spans of about the same size."""
        borders = [self.positions * part // number for part in range(number + 1)]
        return list(itertools.pairwise(borders))

    def chunks(self, low: int, high: int) -> Iterator[tuple[int, Fingerprints, npt.NDArray[np.bool_]]]:
        """Positions [low, high) a part at a time: the first, the fingerprint at each, and whether a run is there."""
        for start in range(low, high, _CHUNK):
            end = min(start + _CHUNK, high)
            yield (
                start,
                fingerprints(self.tokens[start : end + self.length - 1], self.length),
                self._within(start, end),
            )

    def same(self, ones: Positions, others: Positions) -> npt.NDArray[np.bool_]:
        """Whether the runs at ones[i] and others[i] are the same tokens."""
        width, size = self.tokens.itemsize, self.length * self.tokens.itemsize
        whole = np.ndarray((self.positions,), f"V{size}", buffer=self.tokens, strides=(width,))
        one, other = whole[ones], whole[others]
        # Eight bytes at a time, the last ones overlapping: several times as fast as byte by byte.
        word = 1 << min(3, size.bit_length() - 1)
        same = np.ones(len(ones), dtype=bool)
        for at in [*range(0, size - word, word), size - word]:
            words = (np.ndarray(same.shape, f"<u{word}", each, at, (size,)) for each in (one, other))
            same &= np.equal(*words)
        return same

    def _within(self, start: int, end: int) -> npt.NDArray[np.bool_]:
        """Whether the run at each of positions [start, end) ends before its document does."""
        first, last = np.searchsorted(self.ends, [start, end + self.length - 1], side="right")
        ends = self.ends[first:last]
        begins = np.concatenate([self.ends[first - 1 : first] if first else [0], ends[:-1]])[: len(ends)]
        too_late = np.clip(np.maximum(ends - self.length + 1, begins), start, end) - start
        counts = np.clip(ends, start, end) - start - too_late
        within = np.ones(end - start, dtype=bool)
        # The few that are too late one by one: a pass over all positions would take longer than their fingerprints.
        within[np.arange(counts.sum()) + np.repeat(too_late - np.cumsum(counts) + counts, counts)] = False
        return within
