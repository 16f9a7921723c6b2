"""Which pair is merged next, by count or by likelihood, and the loop that merges it.

`Pairs` keeps the counts; a chooser keeps an order of them.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import numpy as np

from paribus.text.tokenizers.reference.pairs import Candidate, Merge, Pairs, pair_of

Tie = Callable[[int], Any]


class Chooser(Protocol):
    """An order of the pairs, best first."""

    def best(self, number: int) -> list[int]:
        """Keys of the `number` best pairs, fewer when there are no more."""

    def score(self, key: int) -> float:
        """What is largest for the best pair."""

    def merge(self, key: int, made: int) -> None:
        """Merge the pair into the id `made` everywhere."""

    def leave(self, key: int) -> None:
        """Never offer this pair again."""


def grow(
    pairs: Pairs,
    chooser: Chooser,
    take: Callable[[int, int], bool],
    *,
    ids: tuple[int, int],
    runners_up: int = 0,
) -> tuple[Merge, ...]:
    """Merge the best pair until the ids from the first to the second of `ids` are given away, or no pair is left.

    `take(left, right)` notes what the next id stands for; where it gives False the pair is left as it is, for good.
    """
    made, end = ids
    merges: list[Merge] = []
    while made < end and (keys := chooser.best(1 + runners_up)):
        best, *others = (Candidate(*pair_of(key), pairs.counts[key], chooser.score(key)) for key in keys)
        if not take(best.left, best.right):
            chooser.leave(keys[0])
            continue
        merges.append(Merge(best.left, best.right, made, best.count, best.score, tuple(others)))
        chooser.merge(keys[0], made)
        made += 1
    return tuple(merges)


class ByCount:
    """The pair with the largest count, of equals the one with the smallest `tie(key)`, then the smallest key.

    A pair whose `tie` is None is never offered, nor one of a count below `min_count`; 0 offers also pairs that merging
    others has used up. Pairs lie in a heap under the count they had when they came to be.
    Counts only fall after that, so an entry is looked at again only when it reaches the top.
    """

    def __init__(self, pairs: Pairs, min_count: int, tie: Tie = lambda key: ()) -> None:
        self._pairs, self._min_count, self._tie = pairs, min_count, tie
        self._left: set[int] = set()
        self._heap: list[tuple[int, Any, int]] = []
        self._add(pairs.counts)

    def score(self, key: int) -> float:
        return self._pairs.counts[key]

    def best(self, number: int) -> list[int]:
        heap, counts = self._heap, self._pairs.counts
        found: list[tuple[int, Any, int]] = []
        while heap and len(found) < number:
            key = heap[0][2]
            count = counts[key]
            if count < self._min_count or key in self._left:
                heapq.heappop(heap)
            elif count != -heap[0][0]:
                heapq.heapreplace(heap, (-count, heap[0][1], key))
            elif number == 1:
                return [key]
            else:
                found.append(heapq.heappop(heap))
        for entry in found:
            heapq.heappush(heap, entry)
        return [entry[2] for entry in found]

    def merge(self, key: int, made: int) -> None:
        self.leave(key)
        self._add(self._pairs.merge(key, made).fresh)

    def leave(self, key: int) -> None:
        self._left.add(key)

    def _add(self, keys: Iterable[int]) -> None:
        for key in keys:
            if self._pairs.counts[key] >= self._min_count and (tie := self._tie(key)) is not None:
                heapq.heappush(self._heap, (-self._pairs.counts[key], tie, key))


class ByLikelihood:
    """The pair with the largest c(ab) / (c(a) c(b)); of equals the larger count, then the smallest `tie(key)`.

    When a symbol becomes rarer the scores of all its pairs rise, so a heap would be mostly out of date; all scores are
    worked out anew at each step instead, as one array.
    """

    def __init__(self, pairs: Pairs, min_count: int, tie: Tie) -> None:
        self._pairs, self._min_count, self._tie = pairs, max(1, min_count), tie
        found = pairs.symbol_counts()
        self._occurs = np.zeros(max(found) + 1, dtype=np.int64)
        self._occurs[list(found)] = list(found.values())
        self._rows: dict[int, int] = {}  # where each pair stands in the two arrays
        self._keys = np.zeros(1024, dtype=np.int64)
        self._counts = np.zeros(1024, dtype=np.int64)
        self._add(pairs.counts)

    def score(self, key: int) -> float:
        left, right = pair_of(key)
        # Of Python's integers, so that the result is the float64 nearest to the fraction.
        return self._pairs.counts[key] / (int(self._occurs[left]) * int(self._occurs[right]))

    def best(self, number: int) -> list[int]:
        occurs = np.maximum(self._occurs, 1)  # a symbol that is gone has pairs of count 0 only
        scores = self._counts / occurs[self._keys >> 32] / occurs[self._keys & 0xFFFFFFFF]
        number = min(number, int(np.count_nonzero(scores)))
        if not number:
            return []
        last = float(scores.max() if number == 1 else np.partition(scores, -number)[-number])
        # The array's rounding may swap near equals; those are told apart exactly.
        near = self._keys[scores >= last * (1 - 1e-12)].tolist()
        return sorted(near, key=lambda key: (-self.score(key), -self._pairs.counts[key], self._tie(key)))[
            :number
        ]

    def merge(self, key: int, made: int) -> None:
        changed = self._pairs.merge(key, made)
        left, right = pair_of(key)
        if made >= len(self._occurs):
            self._occurs = np.r_[self._occurs, np.zeros(made, dtype=np.int64)]
        self._occurs[made] = changed.times
        self._occurs[left] -= changed.times
        self._occurs[right] -= changed.times
        self.leave(key)
        for lost in changed.lost & self._rows.keys():
            count = self._pairs.counts[lost]
            self._counts[self._rows[lost]] = count if count >= self._min_count else 0
        self._add(changed.fresh)

    def leave(self, key: int) -> None:
        self._counts[self._rows[key]] = 0

    def _add(self, keys: Iterable[int]) -> None:
        for key in keys:
            count = self._pairs.counts[key]
            if count < self._min_count:
                continue
            if len(self._rows) == len(self._keys):
                self._make_room()
            row = self._rows[key] = len(self._rows)
            self._keys[row], self._counts[row] = key, count

    def _make_room(self) -> None:
        """Close the gaps that merged pairs left, and grow when there are few."""
        alive = np.flatnonzero(self._counts)
        keys, counts = self._keys[alive], self._counts[alive]
        size = max(1024, 2 * len(alive))
        self._keys, self._counts = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int64)
        self._keys[: len(alive)], self._counts[: len(alive)] = keys, counts
        self._rows = {key: row for row, key in enumerate(keys.tolist())}
