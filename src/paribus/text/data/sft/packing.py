"""Documents into rows of one length, best fit decreasing: the next longest goes where it leaves the least room.

Only lengths are looked at. Over all documents at once, and not batch by batch: what is left over in a
batch would stay free.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from paribus.errors import RequestError

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Packing:
    """Row r holds the documents order[starts[r] : starts[r + 1]]; every document stands in one row.

    `order` int64 [documents], `starts` int64 [rows + 1].
    """

    order: Numbers
    starts: Numbers

    @property
    def num_rows(self) -> int:
        return len(self.starts) - 1


def best_fit_decreasing(lengths: Numbers, *, capacity: int) -> Packing:
    """Put documents of `lengths`, int64 [documents], into rows that hold `capacity` tokens each.

    From the longest down, each goes into the row with the least free space that holds it, or into a new one; of
    equal rows it does not matter which. Documents of one length are placed together: where one of them fits best,
    the next does too until the row is full. So a million take seconds, as there are few different lengths and
    spaces. It takes at most 11/9 of the fewest rows possible, and four. Raises `RequestError` for a document that is
    empty or longer than a row. Source: Johnson et al. 1974 (SIAM Journal on Computing 3).
    """
    if lengths.size and not 1 <= lengths.min() <= lengths.max() <= capacity:
        raise RequestError(
            f"documents of {lengths.min():,} to {lengths.max():,} tokens cannot be packed into rows of {capacity:,}"
        )
    longest_first = np.argsort(-lengths, kind="stable")
    row_of = np.empty(len(lengths), dtype=np.int64)
    rows = _Rows(capacity)
    done = 0
    kinds, counts = np.unique(lengths, return_counts=True)
    for length, count in zip(kinds[::-1].tolist(), counts[::-1].tolist(), strict=True):
        end = done + count
        while done < end:
            taken, each = rows.take(length, end - done)
            row_of[longest_first[done : done + len(each)]] = each
            done += taken
    starts = np.zeros(rows.opened + 1, dtype=np.int64)
    np.cumsum(np.bincount(row_of, minlength=rows.opened), out=starts[1:])
    return Packing(order=np.argsort(row_of, kind="stable"), starts=starts)


class _Rows:
    """Rows by their free space."""

    def __init__(self, capacity: int) -> None:
        self.opened = 0
        self._capacity = capacity
        self._by_space: dict[int, list[int]] = {}
        self._spaces: list[int] = []  # those that rows have, rising

    def take(self, length: int, count: int) -> tuple[int, Numbers]:
        """Place up to `count` documents of `length` in rows that are the best now: how many, and the row of each."""
        space, rows, fit = self._best(length, count)
        taken = min(count, fit * len(rows))
        in_last = taken - fit * (len(rows) - 1)
        self._put(space - fit * length, rows[:-1])
        self._put(space - in_last * length, rows[-1:])
        return taken, np.repeat(np.array(rows, dtype=np.int64), fit)[:taken]

    def _best(self, length: int, count: int) -> tuple[int, list[int], int]:
        """The space of the best rows, as many of them as `count` documents take, and how many each of them holds."""
        at = bisect_left(self._spaces, length)
        if at == len(self._spaces):
            fit = self._capacity // length
            wanted = -(-count // fit)
            self.opened += wanted
            return self._capacity, list(range(self.opened - wanted, self.opened)), fit
        space = self._spaces[at]
        fit, there = space // length, self._by_space[space]
        wanted = -(-count // fit)
        rows = there[-wanted:]
        del there[len(there) - len(rows) :]
        if not there:
            del self._spaces[at], self._by_space[space]
        return space, rows, fit

    def _put(self, space: int, rows: list[int]) -> None:
        if not rows or not space:
            return
        if space not in self._by_space:
            self._by_space[space] = []
            insort(self._spaces, space)
        self._by_space[space] += rows
