"""Which document goes where, decided by what it says: duplicates, near-duplicates, the split and the order.

Everything follows from the sha256 and the sketch of each document, so file names, folders and the order of
reading cannot move one from one side to the other, and near-duplicates stay together. No text and no tokens
are touched here.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from paribus.errors import RequestError
from paribus.text.data.near_duplicates import Sketches, near_duplicate_groups

_NUMBERS = ("offset", "tokens", "bytes", "group")
ROW = np.dtype([("digest", ">u8", (4,)), *((name, "<i8") for name in _NUMBERS)])
_PACK = struct.Struct("<32sqqqq")

DocumentTable = npt.NDArray[np.void]
"""One row a document: digest as four big-endian words, offset and number of tokens, bytes of text, and the
group of near-duplicates, which is 0 for all until they are divided and then numbered by side in order of
first appearance."""


class DocumentIndex:
    """What is remembered of each document while reading, beside its sketch: 64 bytes, however long it is."""

    def __init__(self) -> None:
        self._rows = bytearray()

    def add(self, digest: bytes, *, offset: int, num_tokens: int, num_bytes: int) -> None:
        self._rows += _PACK.pack(digest, offset, num_tokens, num_bytes, 0)

    def table(self) -> DocumentTable:
        return np.frombuffer(self._rows, dtype=ROW)


@dataclass(frozen=True)
class Sides:
    """The two sides in their final order, how many copies were left out, and what is nearly the same.

    `near_duplicates` counts the documents that have a near-duplicate, `near_duplicate_groups` the groups they form.
    """

    train: DocumentTable
    heldout: DocumentTable
    duplicates: int
    near_duplicates: int
    near_duplicate_groups: int

    def sha256(self, tokenizer_name: str) -> str:
        """Identity of the prepared data: documents and groups of each side in order, and the tokenizer's name."""
        digest = hashlib.sha256(f"paribus text 3\0{tokenizer_name}\0".encode())
        for name, table in (("train", self.train), ("heldout", self.heldout)):
            digest.update(f"{name}\0{len(table)}\0".encode())
            digest.update(table["digest"].tobytes())
            digest.update(table["group"].tobytes())
        return digest.hexdigest()


def divide(table: DocumentTable, sketches: Sketches, *, held_out: float, place: str) -> Sides:
    """Keep one of each document, hold out a share of the bytes, and put each side in its fixed shuffle.

    Held out is the shortest run of groups of near-duplicates, in order of a hash of what they say, that has
    at least `held_out` of all bytes; a group of more than half of all bytes stays in training. `sketches` has
    a row for each of `table`. Raises `RequestError` if a side stays empty.
    """
    words = table["digest"].astype(np.uint64)
    order = _sorted_by(words, (0, 1, 2, 3))
    repeats = np.zeros(len(order), dtype=bool)
    repeats[1:] = (words[order[1:]] == words[order[:-1]]).all(axis=1)
    order = order[~repeats]
    kept = table[order]

    _, group, documents = np.unique(
        near_duplicate_groups(sketches[order]), return_inverse=True, return_counts=True
    )
    group_bytes = np.zeros(len(documents), dtype=np.int64)
    np.add.at(group_bytes, group, kept["bytes"])
    total = int(group_bytes.sum())
    in_turn = _sorted_by(_group_words(kept["digest"], group, documents), (0, 1, 2, 3))
    movable = in_turn[2 * group_bytes[in_turn] <= total]
    reached = np.cumsum(group_bytes[movable])
    is_heldout = np.zeros(len(documents), dtype=bool)
    is_heldout[movable[: np.searchsorted(reached, held_out * total) + 1]] = True
    if is_heldout.all() or not is_heldout.any():
        raise RequestError(
            f"{place} cannot be split at held_out={held_out:g}, which leaves one side empty: it holds "
            f"{_counted(len(kept), 'different document')} of {total:,} bytes in all"
            + (
                f", in {_counted(len(documents), 'group')} of near-duplicates"
                if len(documents) < len(kept)
                else ""
            )
            + ", so give more text (a lone file needs at least 4,096 bytes)"
            + (" or a smaller held_out" if len(documents) > 1 else "")
        )
    several = documents[documents > 1]
    return Sides(
        train=_shuffled(kept, group, ~is_heldout[group]),
        heldout=_shuffled(kept, group, is_heldout[group]),
        duplicates=int(repeats.sum()),
        near_duplicates=int(several.sum()),
        near_duplicate_groups=len(several),
    )


def _group_words(
    digests: npt.NDArray[np.uint64], group: npt.NDArray[np.int64], documents: npt.NDArray[np.int64]
) -> npt.NDArray[np.uint64]:
    """uint64 [groups, 4]: the digest of a lone document; of several, a hash of all their digests in order."""
    members = np.argsort(group, kind="stable")
    first = np.cumsum(documents) - documents
    words = digests[members[first]].astype(np.uint64)
    # Not the least of their digests: with that, the larger a group the surer it would be held out.
    for number in np.flatnonzero(documents > 1).tolist():
        all_of_it = digests[members[first[number] : first[number] + documents[number]]]
        words[number] = np.frombuffer(hashlib.sha256(all_of_it.tobytes()).digest(), dtype=digests.dtype)
    return words


def _shuffled(
    kept: DocumentTable, group: npt.NDArray[np.int64], wanted: npt.NDArray[np.bool_]
) -> DocumentTable:
    """The `wanted` rows in their final order, with their groups numbered as they appear in it."""
    # The first words decided the side, so the last ones order it: else held-out text would lie sorted by them.
    order = _sorted_by(kept["digest"][wanted].astype(np.uint64), (2, 3, 0, 1))
    table = kept[wanted][order]
    _, first, inverse = np.unique(group[wanted][order], return_index=True, return_inverse=True)
    table["group"] = np.argsort(np.argsort(first))[inverse]
    return table


def _sorted_by(words: npt.NDArray[np.uint64], columns: tuple[int, ...]) -> npt.NDArray[np.int64]:
    return np.lexsort([words[:, column] for column in reversed(columns)])


def _counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'s' if number != 1 else ''}"
