"""Which runs of n tokens were there before: exact, in bounded memory, on all workers.

The fingerprints of all runs are sorted, each in one 64-bit word with its position below it, so that equal runs stand side
by side with the earliest first; then each is compared, token by token, with the earliest of its kind. Nothing is left to
the fingerprints. It answers what a suffix array over the tokens would, for one n.

The words need not all fit in memory: they are divided by their first bits into shares that do, and the tokens are passed
over once for each. A worker takes a share at a time. A single run of tokens that occurs m times needs 8 m bytes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from paribus.text.data.audit.fingerprints import Fingerprints
from paribus.text.data.audit.inorder import in_order
from paribus.text.data.audit.runs import Positions, Runs

SEEN, FROM_SOURCE = 1, 2
"""Flags of the position of a run: it was there before; it was there before in the source."""

FREQUENT = 2**16
"""Of how many of the most repeated runs is kept where they are and how often they are repeated."""

_BIN_BITS = 10
_BLOCK_BYTES = 2**25
_TELL = 2**20


class Repeats(NamedTuple):
    """`flags` (uint8 [tokens]) of the run at each position, and the most repeated runs, the most repeated first:
    `heads` are where these are for the first time, `counts` how often each is there again."""

    flags: npt.NDArray[np.uint8]
    heads: Positions
    counts: npt.NDArray[np.int64]


def find_repeats(
    runs: Runs,
    path: Path,
    *,
    source_tokens: int,
    memory: int,
    workers: int,
    told: Callable[[int, int], None],
) -> Repeats:
    """Find every run that was there before; the flags go to the new file `path`, a byte a token.

    Tokens from `source_tokens` on are held-out text. All workers together sort in `memory` bytes.
    """
    if not runs.positions:
        nothing = np.empty(0, dtype=np.int64)
        return Repeats(np.zeros(len(runs.tokens), dtype=np.uint8), nothing, nothing)
    flags = np.memmap(path, dtype=np.uint8, mode="w+", shape=runs.tokens.shape)
    sizes = np.zeros(2**_BIN_BITS, dtype=np.int64)
    for counted in in_order(partial(_sizes, runs), runs.parts(workers), workers=workers):
        sizes += counted
    shares = _shares(sizes, most=max(memory // 8 // workers, 1))
    pace = _Pace(int(sizes.sum()), told)
    work = partial(_find, runs, flags, source_tokens, pace)
    heads, counts = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    try:
        for found in in_order(work, shares, workers=workers, ahead=1):
            heads, counts = _most(np.concatenate([heads, found[0]]), np.concatenate([counts, found[1]]))
    except BaseException:
        pace.stopped = True
        raise
    return Repeats(flags, heads, counts)


class _Pace:
    """How far all workers are, each run being sorted and then compared; a worker that tells ends if they are to stop."""

    def __init__(self, total: int, told: Callable[[int, int], None]) -> None:
        self.stopped = False
        self._total, self._told = total, told
        self._done = 0
        self._turn = threading.Lock()

    def more(self, runs: int) -> None:
        if self.stopped:
            raise InterruptedError
        with self._turn:
            self._done += runs
            self._told(self._done // 2, self._total)


class _Share(NamedTuple):
    """The runs whose fingerprints have their first bits in [low, high), and how many these are."""

    low: int
    high: int
    size: int


def _sizes(runs: Runs, span: tuple[int, int]) -> npt.NDArray[np.int64]:
    """How many runs of the span have a fingerprint with each value of the first bits."""
    sizes = np.zeros(2**_BIN_BITS, dtype=np.int64)
    for _, prints, within in runs.chunks(*span):
        prints >>= np.uint64(64 - _BIN_BITS)
        sizes += np.bincount(prints[within].view(np.int64), minlength=len(sizes))
    return sizes


def _shares(sizes: npt.NDArray[np.int64], *, most: int) -> list[_Share]:
    """Neighbouring bins together, as long as they have at most `most` runs."""
    shares: list[_Share] = []
    low = size = 0
    for number, more in enumerate([*sizes.tolist(), most + 1]):
        if size and size + more > most:
            shares.append(_Share(low, number, size))
            low, size = number, 0
        size += more
    return shares


def _find(
    runs: Runs, flags: npt.NDArray[np.uint8], source_tokens: int, pace: _Pace, share: _Share
) -> tuple[Positions, npt.NDArray[np.int64]]:
    """Flag the repeated runs of a share; returns the most repeated ones and how often each is."""
    words, bits = _sorted_words(runs, share, pace)
    block = max(_BLOCK_BYTES // (2 * runs.length * runs.tokens.itemsize + 64), 1)
    heads, counts = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    # Runs with the same bits may lie on both sides of a border: the different ones among them are carried over it.
    carried, carried_times = words[:0], counts
    for first in range(0, len(words), block):
        part = np.concatenate([carried, words[first : first + block]])
        positions = (part & np.uint64((1 << bits) - 1)).astype(np.int64)
        kinds = part >> np.uint64(bits)
        starts = np.flatnonzero(np.concatenate([[True], kinds[1:] != kinds[:-1]]))
        head = earliest(runs, positions, np.repeat(starts, np.diff(starts, append=len(part))))
        again = np.flatnonzero(head != np.arange(len(part)))
        before = positions[head[again]]
        flags[positions[again]] = np.where(before < source_tokens, SEEN | FROM_SOURCE, SEEN)
        times = np.bincount(head[again], minlength=len(part))
        times[: len(carried)] += carried_times
        ended = np.flatnonzero(times[: starts[-1]])
        heads, counts = _most(
            np.concatenate([heads, positions[ended]]), np.concatenate([counts, times[ended]])
        )
        going_on = starts[-1] + np.flatnonzero(head[starts[-1] :] == np.arange(starts[-1], len(part)))
        carried, carried_times = part[going_on], times[going_on]
        pace.more(len(words[first : first + block]))
    ended = np.flatnonzero(carried_times)
    positions = (carried & np.uint64((1 << bits) - 1)).astype(np.int64)
    return _most(np.concatenate([heads, positions[ended]]), np.concatenate([counts, carried_times[ended]]))


def earliest(runs: Runs, positions: Positions, kinds: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """For each of `positions`, the index of the first with the same run among those of its kind.

    `kinds` is where the kind of each begins: kinds stand side by side, positions rise within each.
    """
    head = np.arange(len(positions))
    left = np.flatnonzero(kinds != head)
    of = kinds[left]
    while len(left):
        same = runs.same(positions[left], positions[of])
        head[left[same]] = of[same]
        left = left[
            ~same
        ]  # another run with the same bits: its first one is what the others are compared with
        first = np.concatenate([[True], kinds[left[1:]] != kinds[left[:-1]]])[: len(left)]
        of = left[np.maximum.accumulate(np.where(first, np.arange(len(left)), 0))][~first]
        left = left[~first]
    return head


def _sorted_words(runs: Runs, share: _Share, pace: _Pace) -> tuple[Fingerprints, int]:
    """Fingerprint and position of each run of the share in one word, rising; how many bits the position has."""
    bits = max((runs.positions - 1).bit_length(), 1)
    shift = np.uint64(_BIN_BITS - (share.high - share.low - 1).bit_length())
    least = np.uint64(share.low << (64 - _BIN_BITS))
    most = np.uint64(((share.high - share.low) << (64 - _BIN_BITS)) - 1)
    words = np.empty(share.size, dtype=np.uint64)
    filled = told = 0
    for start, prints, within in runs.chunks(0, runs.positions):
        prints -= least  # below the share is then above it, as numbers without a sign
        within &= prints <= most
        found = np.flatnonzero(within)
        # The bits that all of the share have in common make room for more that tell apart.
        own = (prints[found] << shift) >> np.uint64(bits) << np.uint64(bits)
        words[filled : filled + len(found)] = own | (found + start).astype(np.uint64)
        filled += len(found)
        if filled - told >= _TELL:
            pace.more(filled - told)
            told = filled
    pace.more(filled - told)
    words.sort()
    return words, bits


def _most(heads: Positions, counts: npt.NDArray[np.int64]) -> tuple[Positions, npt.NDArray[np.int64]]:
    """The `FREQUENT` most repeated runs, the earlier of two that are so equally often."""
    if len(heads) > FREQUENT:
        heads, counts = _at_least(heads, counts, np.partition(counts, -FREQUENT)[-FREQUENT])
    order = np.lexsort([heads, -counts])[:FREQUENT]
    return heads[order], counts[order]


def _at_least(
    heads: Positions, counts: npt.NDArray[np.int64], least: np.int64
) -> tuple[Positions, npt.NDArray[np.int64]]:
    enough = counts >= least
    return heads[enough], counts[enough]
