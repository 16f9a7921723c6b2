"""What becomes of a conversation that is longer than a row, and what of a piece of it is scored."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from paribus.errors import RequestError, nearest
from paribus.text.data.sft.templates import Encoded

OVERFLOWS = ("split", "truncate", "drop")


def check_overflow(overflow: str) -> None:
    """Raises `RequestError` for an unknown way."""
    if overflow not in OVERFLOWS:
        raise RequestError(f"there is no --overflow {overflow!r}; {nearest(overflow, OVERFLOWS)}")


def pieces_of(document: Encoded, *, seq_len: int, overflow: str) -> Iterator[Encoded]:
    """The document as pieces of at most `seq_len` tokens; none where it is left out.

    `split` gives all of it, each piece a document of its own that sees nothing of the others; `truncate` its
    beginning; `drop` nothing.
    """
    length = len(document.ids)
    if length <= seq_len:
        yield document
    elif overflow != "drop":
        for start in range(0, length if overflow == "split" else seq_len, seq_len):
            end = start + seq_len
            yield Encoded(document.ids[start:end], document.answer[start:end])


def scored_of(piece: Encoded, *, everything: bool) -> npt.NDArray[np.bool_]:
    """[n] bool, true for the tokens whose loss counts: those of answers, or all, but never the first.

    Nothing stands before the first token that it could be predicted from.
    """
    scored = np.ones(len(piece.ids), dtype=np.bool_) if everything else piece.answer.copy()
    scored[:1] = False
    return scored
