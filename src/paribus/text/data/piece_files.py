"""What is kept of a finished piece: its tokens, and what has to be known of each document in it.

A file appears under its own name only when it is whole, so a kill costs the pieces in work and no others. It is
private to a build; what a dataset is made of belongs in `shards.py`.
"""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from bisect import bisect_right
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from paribus.text.data.documents import ROW, DocumentIndex, DocumentTable
from paribus.text.data.failures import writing
from paribus.text.data.near_duplicates import BINS, Sketcher, Sketches
from paribus.text.tokenizers import TokenArray

_MAGIC = b"PIECE  1"
_HEADER = struct.Struct("<8sQQQQQIxxxx")
_ENDING = ".piece"
_TOGETHER_BYTES = 2**20
_READ_AT_ONCE = 2**22
_MOST_OPEN = 128
_SKETCH_BYTES = 2 * BINS


@dataclass(frozen=True)
class Counts:
    """What a piece holds, of how many bytes of source, and how many documents were looked at and were not text."""

    tokens: int
    documents: int
    source_bytes: int
    looked_at: int
    skipped: int


def piece_path(folder: Path, number: int) -> Path:
    return folder / f"{number:07d}{_ENDING}"


class PieceWriter:
    """Writes one piece, document by document; `finish` makes it count. A context manager that leaves no half of one.

    `end` is the token that closes a document. Offsets of documents count from the beginning of the piece.
    """

    def __init__(self, folder: Path, number: int, *, dtype: str, end: int) -> None:
        self._path = piece_path(folder, number)
        self._draft = self._path.with_suffix(f".unfinished-{os.getpid()}")
        self._place = folder.parent.parent  # the folder of the build would tell the reader nothing
        self._dtype = np.dtype(dtype)
        self._end = np.array([end], dtype=dtype)
        self._waiting: list[tuple[bytes, TokenArray]] = []
        self._waiting_bytes = 0
        self._index, self._sketcher = DocumentIndex(), Sketcher()
        self._tokens = self._documents = self._crc = 0
        with writing(self._place):
            self._file = self._draft.open("wb")
            self._file.write(bytes(_HEADER.size))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        with suppress(OSError):  # what could not be written was said where it was written
            self._file.close()
        self._draft.unlink(missing_ok=True)

    def add(self, content: bytes, tokens: TokenArray) -> None:
        """One document: its bytes and its tokens, without the one that closes it."""
        self._waiting.append((content, tokens))
        self._waiting_bytes += len(content)
        # Together: a tokenizer's tables stay in the cache of the core while nothing else is computed.
        if self._waiting_bytes >= _TOGETHER_BYTES:
            self._write_waiting()

    def _write_waiting(self) -> None:
        rows = []
        for content, tokens in self._waiting:
            digest, length = hashlib.sha256(content).digest(), len(tokens) + 1
            self._index.add(digest, offset=self._tokens, num_tokens=length, num_bytes=len(content))
            self._sketcher.add(content)
            rows += [tokens, self._end]
            self._tokens += length
        if rows:
            self._write(np.concatenate(rows, dtype=self._dtype, casting="same_kind").data)
        self._documents += len(self._waiting)
        self._waiting, self._waiting_bytes = [], 0

    def finish(self, *, source_bytes: int, looked_at: int, skipped: int) -> None:
        self._write_waiting()
        self._write(self._index.table().tobytes())
        self._write(self._sketcher.sketches().tobytes())
        counts = (self._tokens, self._documents, source_bytes, looked_at, skipped)
        with writing(self._place):
            self._file.seek(0)
            self._file.write(_HEADER.pack(_MAGIC, *counts, self._crc))
            self._file.close()
            os.replace(self._draft, self._path)

    def _write(self, content: Any) -> None:
        self._crc = zlib.crc32(content, self._crc)
        with writing(self._place):
            self._file.write(content)


def counts_of(path: Path, *, whole: bool = False) -> Counts | None:
    """What the finished piece at `path` holds; None if there is none. With `whole`, all of it is read and checked."""
    try:
        with open(path, "rb") as file:
            magic, *counts, expected = _HEADER.unpack(file.read(_HEADER.size))
            crc = expected if not whole else 0
            while whole and (part := file.read(_READ_AT_ONCE)):
                crc = zlib.crc32(part, crc)
    except (OSError, struct.error):
        return None
    return Counts(*counts) if magic == _MAGIC and crc == expected else None


class FinishedPieces:
    """The pieces 0 to `number` - 1 in `folder`, as one row of tokens and one table of documents.

    Tokens are read where they are asked for; at most 128 files are open at a time.
    """

    def __init__(self, folder: Path, number: int, *, dtype: str) -> None:
        self._folder = folder
        self._dtype = np.dtype(dtype)
        counts = [counts_of(piece_path(folder, each)) for each in range(number)]
        self._counts = [count for count in counts if count is not None]
        assert len(self._counts) == number
        self._first = np.cumsum([0, *(count.tokens for count in self._counts)]).tolist()
        self._open: OrderedDict[int, int] = OrderedDict()
        self.num_documents = sum(count.documents for count in self._counts)
        self.looked_at = sum(count.looked_at for count in self._counts)
        self.skipped = sum(count.skipped for count in self._counts)

    def table(self) -> tuple[DocumentTable, Sketches]:
        """A row of each document of all pieces in order, and its sketch."""
        table = np.empty(self.num_documents, dtype=ROW)
        sketches = np.empty((self.num_documents, BINS), dtype=np.uint16)
        done = 0
        for number, count in enumerate(self._counts):
            here = slice(done, done + count.documents)
            with open(piece_path(self._folder, number), "rb") as file:
                file.seek(_HEADER.size + self._dtype.itemsize * count.tokens)
                table[here] = np.fromfile(file, dtype=ROW, count=count.documents)
                sketches[here] = np.fromfile(file, dtype=np.uint16, count=count.documents * BINS).reshape(
                    -1, BINS
                )
            table["offset"][here] += self._first[number]
            done += count.documents
        return table, sketches

    def tokens(self, offset: int, length: int) -> npt.NDArray[Any]:
        """`length` tokens from `offset` on, all of one document."""
        number = bisect_right(self._first, offset) - 1
        width = self._dtype.itemsize
        at = _HEADER.size + width * (offset - self._first[number])
        # Not mapped: pages that were looked at once would count as this process's memory.
        return np.frombuffer(os.pread(self._opened(number), width * length, at), dtype=self._dtype)

    def close(self) -> None:
        for file in self._open.values():
            os.close(file)
        self._open.clear()

    def _opened(self, number: int) -> int:
        if number in self._open:
            self._open.move_to_end(number)
            return self._open[number]
        if len(self._open) == _MOST_OPEN:
            os.close(self._open.popitem(last=False)[1])
        self._open[number] = os.open(piece_path(self._folder, number), os.O_RDONLY)
        return self._open[number]
