"""How well words were found: precision, recall and F1 of word spans, and how many words never seen before were found.

A word counts as found if the segmenter has a piece with both its ends. Intervals are over sentences, which are drawn
with replacement. Source of the measures: Sproat & Emerson 2003, The First International Chinese Word Segmentation
Bakeoff.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from paribus.errors import RequestError, shown

Floats = npt.NDArray[np.float64]
_AT_ONCE = 4_000_000  # numbers held at a time: 32 MB


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number and its bootstrap interval of 95 % (percentiles)."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Score:
    """Shares of words in [0, 1]. `unknown` is the share of words that training did not have; without any there is no
    `unknown_recall` (the field's R_oov)."""

    precision: Estimate
    recall: Estimate
    f1: Estimate
    unknown: float
    unknown_recall: Estimate | None
    words: int
    sentences: int


def count_words(
    truth: Sequence[Sequence[str]], found: Sequence[Sequence[str]], *, known: Collection[str] = ()
) -> npt.NDArray[np.int64]:
    """[sentences, 5]: true words, pieces, words found, true words not in `known`, and those of them found.

    Raises `RequestError` if the pieces of a sentence do not join to it, or there is no sentence.
    """
    if len(truth) != len(found) or not truth:
        raise RequestError(
            f"as many cut sentences as true ones are needed, and at least one: {len(found)}, {len(truth)}"
        )
    known = frozenset(known)
    table = np.zeros((len(truth), 5), dtype=np.int64)
    for row, words, pieces in zip(table, truth, found, strict=True):
        if (text := "".join(words)) != "".join(pieces):
            raise RequestError(f"the pieces do not join to their sentence: {shown(text, at_most=60)!r}")
        spans = set(_spans(pieces))
        right = [span in spans for span in _spans(words)]
        new = [word not in known for word in words]
        row[:] = (
            len(words),
            len(pieces),
            sum(right),
            sum(new),
            sum(r and n for r, n in zip(right, new, strict=True)),
        )
    return table


def score(counts: npt.NDArray[np.int64], *, replicates: int = 1000, seed: int = 0) -> Score:
    """The score of a table of `count_words`."""
    drawn = _drawn(counts.astype(np.float64), replicates, seed)
    total = counts.sum(axis=0)

    def estimate(share: Callable[[Floats], Floats]) -> Estimate:
        return _estimate(float(share(total.astype(np.float64))), share(drawn))

    return Score(
        precision=estimate(lambda n: n[..., 2] / n[..., 1]),
        recall=estimate(lambda n: n[..., 2] / n[..., 0]),
        f1=estimate(_f1),
        unknown=float(total[3] / total[0]),
        unknown_recall=estimate(_unknown_recall) if total[3] else None,
        words=int(total[0]),
        sentences=len(counts),
    )


def f1_difference(
    counts: npt.NDArray[np.int64], baseline: npt.NDArray[np.int64], *, replicates: int = 1000, seed: int = 0
) -> Estimate:
    """F1 of one table minus that of another of the same sentences, which are drawn together."""
    if len(counts) != len(baseline) or (counts[:, 0] != baseline[:, 0]).any():
        raise RequestError("two segmenters are compared on the same sentences")
    both = np.concatenate([counts, baseline], axis=1).astype(np.float64)
    total, drawn = both.sum(axis=0), _drawn(both, replicates, seed)
    return _estimate(
        float(_f1(total[:5]) - _f1(total[5:])), np.asarray(_f1(drawn[:, :5]) - _f1(drawn[:, 5:]), np.float64)
    )


def _spans(pieces: Iterable[str]) -> list[tuple[int, int]]:
    found, start = [], 0
    for piece in pieces:
        found.append((start, start + len(piece)))
        start += len(piece)
    return found


def _f1(n: Floats) -> Floats:
    # 2PR / (P + R) with P = right / pieces, R = right / words.
    return np.asarray(2 * n[..., 2] / (n[..., 0] + n[..., 1]))


def _unknown_recall(n: Floats) -> Floats:
    # A draw without unknown words says nothing and is left out of the interval.
    with np.errstate(invalid="ignore"):
        return np.asarray(n[..., 4] / n[..., 3])


def _drawn(counts: Floats, replicates: int, seed: int) -> Floats:
    """[replicates, columns]: sums over as many sentences, drawn with replacement."""
    rng = np.random.default_rng(seed)
    sentences = len(counts)
    step = max(1, _AT_ONCE // sentences)
    parts = []
    for start in range(0, replicates, step):
        number = min(step, replicates - start)
        parts.append(rng.multinomial(sentences, np.full(sentences, 1 / sentences), size=number) @ counts)
    return np.concatenate(parts)


def _estimate(value: float, drawn: Floats) -> Estimate:
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return Estimate(value=value, low=float(low), high=float(high))
