"""Which documents are nearly the same: each with the one it repeats, and how similar the two are.

Documents are taken in order. One that is similar enough to a document that was kept before repeats it; any other is
kept. So every cluster is a star: each member was compared, shingle by shingle, with the one it is said to repeat. There
are no chains of A like B like C with A and C unlike, by which a closure over pairs turns a corpus into one cluster.

Compared is what meets in a band (`minhash.py`): with one document at most `MOST` others, those that meet it in most
bands first, and of a bucket the `MOST` that were there first, so that a million pages of one form take no square of them.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from paribus.text.data.audit.fingerprints import Fingerprints
from paribus.text.data.audit.inorder import in_order
from paribus.text.data.audit.minhash import met
from paribus.text.data.audit.shingles import shingles, similarity
from paribus.text.data.audit.store import Store

MOST = 64
_SETS_BYTES = 2**28
_AT_ONCE = 128

Told = Callable[[int, int], None]


class Near(NamedTuple):
    """Of each document: the one it repeats, or -1, and their Jaccard similarity; and how many pairs were compared."""

    of: npt.NDArray[np.int64]
    similarity: npt.NDArray[np.float64]
    compared: int


def near_duplicates(
    store: Store, documents: npt.NDArray[np.int64], *, least: float, workers: int, told: Told
) -> Near:
    """Of `documents`, no two of which are the same text, which repeat an earlier one: similarity at least `least`."""
    found = _Found(store, documents)
    neighbours = _Neighbours(store, found.buckets, least)
    for document in found.in_turn(found.meeting, neighbours.sets, workers, told):
        if not found.note(document, neighbours.nearest(document)):
            neighbours.keep(document)
    return found.near(neighbours.compared)


def near_of(
    store: Store,
    documents: npt.NDArray[np.int64],
    others: npt.NDArray[np.int64],
    *,
    least: float,
    workers: int,
    told: Told,
) -> Near:
    """Which of `others` are similar to at least `least` to one of `documents`, and to which of them most."""
    found = _Found(store, np.concatenate([documents, others]))
    neighbours = _Neighbours(store, found.buckets, least)
    wanted = set(others.tolist())
    for document in found.meeting:
        if document not in wanted:
            neighbours.keep(document)
    for document in found.in_turn(
        [each for each in found.meeting if each in wanted], neighbours.sets, workers, told
    ):
        found.note(document, neighbours.nearest(document))
    return found.near(neighbours.compared)


class _Found:
    """The documents that meet others, and what was found of them so far."""

    def __init__(self, store: Store, documents: npt.NDArray[np.int64]) -> None:
        count = len(store.rows)
        self._store = store
        self._of = np.full(count, -1, dtype=np.int64)
        self._similarity = np.zeros(count)
        worded = documents[store.rows["shingles"][documents] > 0]
        buckets = met(store.rows["bands"][worded])
        some = (buckets >= 0).any(axis=1)
        self.meeting: list[int] = worded[some].tolist()
        self.buckets = _Buckets(count, worded[some], buckets[some])

    def in_turn(self, documents: Sequence[int], sets: _Sets, workers: int, told: Told) -> Iterator[int]:
        """The documents, each with its set of shingles made ahead by the workers."""
        parts = [documents[first : first + _AT_ONCE] for first in range(0, len(documents), _AT_ONCE)]

        def made(part: Sequence[int]) -> list[tuple[int, Fingerprints]]:
            return list(zip(part, shingles([self._store.text(each) for each in part]).sets(), strict=True))

        done = 0
        for part in in_order(made, parts, workers=workers):
            for document, its in part:
                sets.put(document, its)
                yield document
            done += len(part)
            told(done, len(documents))

    def note(self, document: int, nearest: tuple[int, float] | None) -> bool:
        if nearest is None:
            return False
        self._of[document], self._similarity[document] = nearest
        return True

    def near(self, compared: int) -> Near:
        return Near(self._of, self._similarity, compared)


class _Buckets:
    """The buckets that a document shares with others, in numpy's memory."""

    def __init__(self, count: int, documents: npt.NDArray[np.int64], buckets: npt.NDArray[np.int64]) -> None:
        self._row = np.zeros(count, dtype=np.int32)
        self._row[documents] = np.arange(len(documents))
        self._buckets = buckets

    def of(self, document: int) -> list[int]:
        return [bucket for bucket in self._buckets[self._row[document]].tolist() if bucket >= 0]


class _Neighbours:
    """Kept documents by bucket, and the nearest of them to another document."""

    def __init__(self, store: Store, buckets: _Buckets, least: float) -> None:
        self.sets = _Sets(store)
        self.compared = 0
        self._buckets = buckets
        self._least = least
        self._kept: dict[int, list[int]] = {}

    def keep(self, document: int) -> None:
        for bucket in self._buckets.of(document):
            kept = self._kept.setdefault(bucket, [])
            if len(kept) < MOST:
                kept.append(document)

    def nearest(self, document: int) -> tuple[int, float] | None:
        """The most similar kept document of those compared, if it is similar enough."""
        votes: Counter[int] = Counter()
        for bucket in self._buckets.of(document):
            votes.update(self._kept.get(bucket, ()))
        if not votes:
            return None
        candidates = sorted(votes, key=lambda each: (-votes[each], each))[:MOST]
        its = self.sets.get(document)
        best, most = -1, 0.0
        for other in candidates:
            theirs = self.sets.get(other)
            if min(len(its), len(theirs)) < self._least * max(len(its), len(theirs)):
                continue
            self.compared += 1
            alike = similarity(its, theirs)
            if alike > most:
                best, most = other, alike
        return (best, most) if most >= self._least else None


class _Sets:
    """Sets of shingles by document: those used last are kept, others made again from their texts."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sets: OrderedDict[int, Fingerprints] = OrderedDict()
        self._bytes = 0

    def put(self, document: int, its: Fingerprints) -> None:
        if (old := self._sets.pop(document, None)) is not None:
            self._bytes -= old.nbytes
        self._sets[document] = its
        self._bytes += its.nbytes
        while self._bytes > _SETS_BYTES and len(self._sets) > 1:
            self._bytes -= self._sets.popitem(last=False)[1].nbytes

    def get(self, document: int) -> Fingerprints:
        its = self._sets.get(document)
        if its is None:
            its = shingles([self._store.text(document)]).sets()[0]
            self.put(document, its)
        else:
            self._sets.move_to_end(document)
        return its
