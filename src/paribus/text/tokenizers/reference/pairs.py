"""Counts of neighbouring symbols, kept right while pairs are merged: what every trainer that merges shares.

All words lie in one row of symbols with links to the neighbours, and each pair knows where it stands, so that a merge
costs as much as the pair is frequent, however long a word is. Which pair is merged next is the trainer's affair.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from paribus.errors import RequestError
from paribus.text.tokenizers.reference.words import Ints

_MOST_PLACES = 2**31 - 1  # they are kept in 32 bits
_EDGE = -1  # between words, and where a merged symbol's right part stood


def pair_key(left: int, right: int) -> int:
    """A pair as one integer; the order of keys is the order of (left, right)."""
    return left << 32 | right


def pair_of(key: int) -> tuple[int, int]:
    """The (left, right) of a key."""
    return key >> 32, key & 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pair that could have been merged: ids, count, and the score that was to be largest (often the count)."""

    left: int
    right: int
    count: int
    score: float


@dataclass(frozen=True, slots=True)
class Merge:
    """One step of training: the pair (`left`, `right`) became the id `made`.

    `runners_up` are the next best pairs at that moment, best first, as many as were asked for.
    """

    left: int
    right: int
    made: int
    count: int
    score: float
    runners_up: tuple[Candidate, ...] = ()


class Changed(NamedTuple):
    """What a merge did: the keys of pairs that came to be, of pairs that lost some of their count, and how often the
    merged symbol stands in the words, which is less than the pair's count where its occurrences overlap.
    """

    fresh: list[int]
    lost: set[int]
    times: int


class Pairs:
    """Words as symbols, with the count of every pair of neighbours.

    `symbols` are the ids of all words in a row, `lengths` [words] how many each word has, `weights` [words] how often
    it occurs. Counts include overlaps: a word "aaa" of count 5 gives the pair "aa" ten. A pair that is gone counts 0.
    Raises `RequestError` for more symbols than 31 bits count.
    """

    def __init__(self, symbols: Ints, lengths: Ints, weights: Ints) -> None:
        size = len(symbols) + len(lengths) + 1
        if size > _MOST_PLACES:
            raise RequestError(
                f"the distinct words have {len(symbols):,} symbols, and fewer than {_MOST_PLACES:,} can be counted: "
                "train on less text"
            )
        # Word number i starts behind i + 1 edges.
        place = np.arange(len(symbols)) + np.repeat(np.arange(len(lengths)), lengths) + 1
        row = np.full(size, _EDGE, dtype=np.int64)
        row[place] = symbols
        weight = np.zeros(size, dtype=np.int64)
        weight[place] = np.repeat(weights, lengths)
        self._symbols = _array(row)
        self._before = _array(np.arange(-1, size - 1))
        self._after = _array(np.arange(1, size + 1))
        self._weight = array("q", weight.tobytes())
        self.counts: dict[int, int] = {}
        self._where: dict[int, array[int]] = {}
        left = np.flatnonzero((row[:-1] >= 0) & (row[1:] >= 0))
        if not left.size:
            return
        keys = row[left] << 32 | row[left + 1]
        order = np.argsort(keys, kind="stable")  # stable: a pair's places ascend, so merges go left to right
        left, keys = left[order], keys[order]
        starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]])
        sums = np.add.reduceat(weight[left], starts)
        for key, count, places in zip(
            keys[starts].tolist(), sums.tolist(), np.split(left, starts[1:]), strict=True
        ):
            self.counts[key] = count
            self._where[key] = _array(places)

    def symbol_counts(self) -> dict[int, int]:
        """How often each symbol stands in the words now."""
        symbols, weight = np.array(self._symbols), np.array(self._weight)
        ids, where = np.unique(symbols[symbols >= 0], return_inverse=True)
        sums = np.zeros(len(ids), dtype=np.int64)
        np.add.at(sums, where, weight[symbols >= 0])
        return dict(zip(ids.tolist(), sums.tolist(), strict=True))

    def merge(self, key: int, made: int) -> Changed:
        """Put the id `made` for the pair `key` everywhere, left to right without overlaps."""
        left, right = pair_of(key)
        symbols, before, after, weight = self._symbols, self._before, self._after, self._weight
        counts, where = self.counts, self._where
        fresh: list[int] = []
        lost: set[int] = set()
        times = 0
        for place in where.pop(key, ()):
            # The place may be out of date: another merge may have taken either symbol.
            if symbols[place] != left:
                continue
            second = after[place]
            if symbols[second] != right:
                continue
            count = weight[place]
            times += count
            first, third = before[place], after[second]
            symbols[place], symbols[second] = made, _EDGE
            after[place], before[third] = third, place
            outer = symbols[first]
            if outer >= 0:
                old = outer << 32 | left
                counts[old] -= count
                lost.add(old)
                new = outer << 32 | made
                if new in counts:
                    counts[new] += count
                    where[new].append(first)
                else:
                    counts[new] = count
                    where[new] = array("i", (first,))
                    fresh.append(new)
            outer = symbols[third]
            if outer >= 0:
                old = right << 32 | outer
                counts[old] -= count
                lost.add(old)
                new = made << 32 | outer
                if new in counts:
                    counts[new] += count
                    where[new].append(place)
                else:
                    counts[new] = count
                    where[new] = array("i", (place,))
                    fresh.append(new)
        counts[key] = 0
        lost.discard(key)
        for old in lost:
            if not counts[old]:
                where.pop(old, None)
        return Changed(fresh, lost, times)


def _array(values: Ints) -> array[int]:
    """As 32-bit integers that Python reads quickly."""
    return array("i", values.astype(np.int32).tobytes())
