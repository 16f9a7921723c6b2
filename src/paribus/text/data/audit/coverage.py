"""From flagged runs to the tokens inside them: how much of the text, and of each document, was there before.

A token is repeated for n if it lies inside a run of n tokens that was there before. A run lies within its document, so
that a token of one document never counts for a run of another.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from paribus.text.data.audit.runs import Positions

_CHUNK = 2**16


def covered(flags: npt.NDArray[np.uint8], flag: int, length: int, ends: Positions) -> npt.NDArray[np.int64]:
    """int64 [documents]: how many tokens of each lie inside a run of `length` tokens with this flag.

    `flags` [tokens] are those of the runs by first position, `ends` where each document ends.
    """
    until = np.zeros(len(ends) + 1, dtype=np.int64)  # covered tokens up to the end of each document
    last, total = -length, 0
    for start in range(0, len(flags), _CHUNK):
        part = flags[start : start + _CHUNK] & flag
        at = np.arange(start, start + len(part))
        latest = np.maximum.accumulate(np.where(part > 0, at, last))
        counts = np.cumsum(at - latest < length)
        here = slice(*np.searchsorted(ends, [start, start + len(part)], side="right"))
        until[1:][here] = total + np.where(ends[here] > start, counts[ends[here] - start - 1], 0)
        last, total = int(latest[-1]), total + int(counts[-1])
    return np.diff(until)
