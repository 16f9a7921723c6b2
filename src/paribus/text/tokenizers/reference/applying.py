"""Applying merges to a word: the pair of lowest rank first, the leftmost of equals, until none is left.

One loop serves every encoder that merges; what they differ in is what has a rank: a pair of ids, joined bytes, a string.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from paribus.errors import RequestError

Symbol = TypeVar("Symbol")


def merge_by_rank(
    symbols: Sequence[Symbol],
    ranked: Callable[[Symbol, Symbol], tuple[float, Symbol] | None],
    *,
    dropout: float = 0.0,
    rng: np.random.Generator | None = None,
    told: Callable[[int, Symbol], None] | None = None,
) -> list[Symbol]:
    """`symbols` merged as far as `ranked(left, right)` goes, which gives (rank, merged symbol) or None.

    `told(place, merged)`, if given, hears of each merge as it is made; `place` counts the symbols given.
    With `dropout` p, each possible merge is passed over with probability p at each step: BPE-dropout, Provilkov et al.,
    2020 (arXiv:1910.13267), algorithm 1. O(n log n) in the length without it. Raises `RequestError` for a dropout
    outside [0, 1] or without `rng`.
    """
    draw = _drawing(dropout, rng)
    row: list[Any] = list(symbols)
    before = list(range(-1, len(row) - 1))
    after = list(range(1, len(row) + 1))
    heap: list[tuple[float, int, Any, Any, Any]] = []

    def offer(place: int) -> None:
        if place >= 0 and after[place] < len(row):
            left, right = row[place], row[after[place]]
            if (found := ranked(left, right)) is not None:
                heapq.heappush(heap, (found[0], place, left, right, found[1]))

    for place in range(len(row) - 1):
        offer(place)
    passed: list[tuple[float, int, Any, Any, Any]] = []
    while heap:
        entry = heapq.heappop(heap)
        _, place, left, right, merged = entry
        second = after[place] if row[place] is not None else len(row)
        if second >= len(row) or row[place] != left or row[second] != right:
            continue  # out of date
        if draw is not None and draw() < dropout:
            passed.append(entry)
            continue
        third = after[second]
        row[place], row[second] = merged, None
        if told is not None:
            told(place, merged)
        after[place] = third
        if third < len(row):
            before[third] = place
        offer(before[place])
        offer(place)
        for entry in passed:
            heapq.heappush(heap, entry)
        passed.clear()
    return [symbol for symbol in row if symbol is not None]


def merge_ids(
    ids: Sequence[int],
    ranks: Mapping[tuple[int, int], tuple[int, int]],
    *,
    dropout: float = 0.0,
    rng: np.random.Generator | None = None,
) -> list[int]:
    """Merge by the rank of a pair of ids, as HF tokenizers do; `ranks` gives (rank, merged id) of a pair."""
    return merge_by_rank(ids, lambda left, right: ranks.get((left, right)), dropout=dropout, rng=rng)


def merge_bytes(
    word: bytes,
    ranks: Mapping[bytes, int],
    *,
    dropout: float = 0.0,
    rng: np.random.Generator | None = None,
) -> list[int]:
    """Merge by the rank of the joined bytes, as tiktoken does; the rank is the id.

    Not always what `merge_ids` gives: two pairs may join to the same bytes, of which only one is a merge.
    """

    def ranked(left: bytes, right: bytes) -> tuple[float, bytes] | None:
        rank = ranks.get(left + right)
        return None if rank is None else (rank, left + right)

    if (whole := ranks.get(word)) is not None and not dropout:
        return [whole]  # as tiktoken: a word that is a token is that token, whether merges reach it or not
    parts = merge_by_rank([bytes((value,)) for value in word], ranked, dropout=dropout, rng=rng)
    return [ranks[part] for part in parts]


def _drawing(dropout: float, rng: np.random.Generator | None) -> Callable[[], float] | None:
    if not 0 <= dropout <= 1:
        raise RequestError(f"dropout is {dropout}; it is a probability, 0 to 1")
    if not dropout:
        return None
    if rng is None:
        raise RequestError("dropout takes a generator of random numbers: rng=np.random.default_rng(seed)")
    return rng.random
