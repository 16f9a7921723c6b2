"""Which document goes where, decided by what it says: duplicates, the split and the order.

Everything follows from the sha256 of each document, so file names, folders and the order of reading cannot
move a document from one side to the other. No text and no tokens are touched here.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from paribus.errors import RequestError

_ROW = np.dtype([("digest", ">u8", (4,)), ("offset", "<i8"), ("tokens", "<i8"), ("bytes", "<i8")])
_PACK = struct.Struct("<32sqqq")

DocumentTable = npt.NDArray[np.void]
"""One row a document: digest as four big-endian words, offset and number of tokens, bytes of text."""


class DocumentIndex:
    """What is remembered of each document while reading: 56 bytes, however long it is."""

    def __init__(self) -> None:
        self._rows = bytearray()

    def add(self, digest: bytes, *, offset: int, num_tokens: int, num_bytes: int) -> None:
        self._rows += _PACK.pack(digest, offset, num_tokens, num_bytes)

    def table(self) -> DocumentTable:
        return np.frombuffer(bytes(self._rows), dtype=_ROW)


@dataclass(frozen=True)
class Sides:
    """The two sides in their final order, and how many copies were left out."""

    train: DocumentTable
    heldout: DocumentTable
    duplicates: int

    def sha256(self, tokenizer_name: str) -> str:
        """Identity of the prepared data: the documents of each side in order, and the tokenizer's name."""
        digest = hashlib.sha256(f"paribus text 1\0{tokenizer_name}\0".encode())
        for name, table in (("train", self.train), ("heldout", self.heldout)):
            digest.update(f"{name}\0{len(table)}\0".encode())
            digest.update(table["digest"].tobytes())
        return digest.hexdigest()


def divide(table: DocumentTable, *, held_out: float, place: str) -> Sides:
    """Keep one of each document, hold out a share of the bytes, and put each side in its fixed shuffle.

    Held out is the shortest run of documents in order of digest that has at least `held_out` of all bytes; a
    document of more than half of all bytes stays in training. Raises `RequestError` if a side stays empty.
    """
    words = table["digest"].astype(np.uint64)
    order = np.lexsort((words[:, 3], words[:, 2], words[:, 1], words[:, 0]))
    repeats = np.zeros(len(order), dtype=bool)
    repeats[1:] = (words[order[1:]] == words[order[:-1]]).all(axis=1)
    kept = table[order[~repeats]]

    total = int(kept["bytes"].sum())
    movable = np.flatnonzero(2 * kept["bytes"] <= total)
    reached = np.cumsum(kept["bytes"][movable])
    heldout = np.zeros(len(kept), dtype=bool)
    heldout[movable[: np.searchsorted(reached, held_out * total) + 1]] = True
    if heldout.all() or not heldout.any():
        raise RequestError(
            f"{place} cannot be split at held_out={held_out:g}, which leaves one side empty: it holds {len(kept)} "
            f"different document{'s' if len(kept) != 1 else ''} of {total:,} bytes in all, so give more text "
            "(a lone file needs at least 4,096 bytes)" + (" or a smaller held_out" if len(kept) > 1 else "")
        )
    return Sides(_shuffled(kept[~heldout]), _shuffled(kept[heldout]), int(repeats.sum()))


def _shuffled(table: DocumentTable) -> DocumentTable:
    # The first words decided the side, so the last ones order it: else held-out text would lie sorted by them.
    words = table["digest"].astype(np.uint64)
    return table[np.lexsort((words[:, 1], words[:, 0], words[:, 3], words[:, 2]))]
