"""What is repeated most: spans of text, as long as all places where they occur agree.

Runs of n tokens are where to begin: neighbours that occur equally often are tried as one span, those that cover most
tokens first. A span then grows to both sides while the token there is the same at every place. Only the most frequent
runs are looked at (`FREQUENT` of `repeats.py`), so a long span that occurs twice may not be among them; whole documents
that are there twice are found as such.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from paribus.text.data.audit.fingerprints import Fingerprints, fingerprints
from paribus.text.data.audit.inorder import in_order
from paribus.text.data.audit.repeats import Repeats
from paribus.text.data.audit.runs import Positions, Runs

_TRIED = 4  # candidates for each span that is wanted
_FARTHEST = 2**12


class Span(NamedTuple):
    """Tokens [start, start + length), and at how many positions they occur, overlapping ones counted each."""

    start: int
    length: int
    times: int


def top_spans(runs: Runs, repeats: Repeats, *, most: int, workers: int) -> list[Span]:
    """At most `most` spans of at least n tokens, by the tokens in all places but the first; none overlaps another."""
    starts = _candidates(repeats, runs.length)[: _TRIED * most]
    if not starts:
        return []
    prints = np.array(
        [fingerprints(runs.tokens[start : start + runs.length], runs.length)[0] for start in starts],
        dtype=np.uint64,
    )
    order = np.argsort(prints)
    places: list[list[Positions]] = [[] for _ in starts]
    for found, which in in_order(
        partial(_places, runs, prints[order]), runs.parts(4 * workers), workers=workers
    ):
        for number in np.unique(which).tolist():
            places[order[number]].append(found[which == number])
    grown = []
    for start, parts in zip(starts, places, strict=True):
        at = np.concatenate(parts)
        at = at[runs.same(at, np.full_like(at, start))]
        grown.append(_grown(runs, at))
    grown.sort(key=lambda span: (-(span.times - 1) * span.length, span.start))
    kept: list[Span] = []
    for span in grown:
        if len(kept) < most and not any(
            span.start < other.start + other.length and other.start < span.start + span.length
            for other in kept
        ):
            kept.append(span)
    return kept


def _candidates(repeats: Repeats, length: int) -> Sequence[int]:
    """First positions of chains of neighbouring runs that are repeated equally often, by tokens in the repeats."""
    order = np.argsort(repeats.heads)
    heads, counts = repeats.heads[order], repeats.counts[order]
    breaks = np.concatenate([[True], (np.diff(heads) != 1) | (np.diff(counts) != 0)])[: len(heads)]
    first = np.flatnonzero(breaks)
    lengths = length - 1 + np.diff(first, append=len(heads))
    best = np.lexsort([heads[first], -counts[first] * lengths])
    return [int(head) for head in heads[first][best]]


def _places(
    runs: Runs, wanted: Fingerprints, span: tuple[int, int]
) -> tuple[Positions, npt.NDArray[np.int64]]:
    """Where in the span there are runs with a wanted fingerprint, and with which of them."""
    places, which = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
    begins_so = np.zeros(2**16, dtype=bool)  # far faster than a search for each
    begins_so[wanted >> np.uint64(48)] = True
    for start, prints, within in runs.chunks(*span):
        found = np.flatnonzero(within & begins_so[prints >> np.uint64(48)])
        nearest = np.minimum(np.searchsorted(wanted, prints[found]), len(wanted) - 1)
        same = wanted[nearest] == prints[found]
        places.append(found[same] + start)
        which.append(nearest[same])
    return np.concatenate(places), np.concatenate(which)


def _grown(runs: Runs, places: Positions) -> Span:
    """The span at all of `places`, as long as they agree and stay within their documents."""
    document = np.searchsorted(runs.ends, places, side="right")
    begins = np.where(document > 0, runs.ends[document - 1], 0)
    back = _agreed(runs, places - 1, begins, -1)
    on = _agreed(runs, places + runs.length, runs.ends[document], 1)
    return Span(int(places[0]) - back, runs.length + back + on, len(places))


def _agreed(runs: Runs, places: Positions, borders: Positions, step: int) -> int:
    """How many tokens from `places` on, in steps of 1 or -1, are the same at all of them."""
    inside = (borders - places if step > 0 else places - borders + 1).min()
    for far in range(min(int(inside), _FARTHEST)):
        tokens = runs.tokens[places + far * step]
        if (tokens != tokens[0]).any():
            return far
    return min(int(inside), _FARTHEST)
