"""What an audit keeps of its documents: texts and tokens in two files end to end, and a row of numbers for each.

The tokens are read as a memory map and texts one at a time, so that an audit keeps some hundred bytes a document in memory,
however long it is. How documents arrive here belongs in `reading.py`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from paribus.text.data.audit.fingerprints import Fingerprints
from paribus.text.data.audit.minhash import BANDS
from paribus.text.tokenizers import TokenArray

ROW = np.dtype(
    [
        ("digest", "<u8", (4,)),
        ("bands", "<u8", (BANDS,)),
        ("shingles", "<i8"),
        ("text_end", "<i8"),
        ("line_end", "<i8"),
        ("token_end", "<i8"),
        ("place", "<i4"),
        ("number", "<i8"),
    ]
)
"""One row a document: sha256 of its text, its bands, how many shingles it has, where its text, its line and its tokens
end in their files, which of `places` it is from and its number there, from 1."""

_DTYPES = ("<u1", "<u2", "<u4")


@dataclass(frozen=True)
class Batch:
    """Several documents with what was computed of them; `rows` has ends counted from the first of them."""

    contents: Sequence[bytes]
    lines: Sequence[bytes]
    tokens: Sequence[TokenArray]
    digests: bytes
    bands: Fingerprints
    shingles: npt.NDArray[np.int64]
    places: Sequence[int]
    numbers: Sequence[int]


class Writer:
    """Takes batches in order and becomes a `Store`."""

    def __init__(self, folder: Path, *, ids: int) -> None:
        """`ids`: how many token ids there are."""
        self.folder = folder
        self.documents = 0
        self._dtype = next(dtype for dtype in _DTYPES if ids <= 2 ** (8 * np.dtype(dtype).itemsize))
        for name in ("texts", "lines", "tokens"):
            (folder / name).touch()
        self._rows: list[npt.NDArray[np.void]] = []
        self._text_end = self._line_end = self._token_end = 0

    def add(self, batch: Batch) -> None:
        """Append; raises `OSError` if the disk is full."""
        rows = np.zeros(len(batch.contents), dtype=ROW)
        rows["digest"] = np.frombuffer(batch.digests, dtype="<u8").reshape(-1, 4)
        rows["bands"], rows["shingles"] = batch.bands, batch.shingles
        rows["text_end"] = self._text_end + np.cumsum([len(content) for content in batch.contents])
        rows["line_end"] = self._line_end + np.cumsum([len(line) for line in batch.lines])
        rows["token_end"] = self._token_end + np.cumsum([len(tokens) for tokens in batch.tokens])
        rows["place"], rows["number"] = batch.places, batch.numbers
        for name, parts in (("texts", batch.contents), ("lines", batch.lines)):
            with open(self.folder / name, "ab") as file:
                file.write(b"".join(parts))
        with open(self.folder / "tokens", "ab") as file:
            file.writelines(tokens.astype(self._dtype, copy=False).data for tokens in batch.tokens)
        self._text_end, self._token_end = int(rows["text_end"][-1]), int(rows["token_end"][-1])
        self._line_end = int(rows["line_end"][-1])
        self._rows.append(rows)
        self.documents += len(rows)

    def store(self, places: Sequence[str], *, sources: int) -> Store:
        """All of it, of which the first `sources` documents are the source and the others held out."""
        rows = np.concatenate(self._rows) if self._rows else np.zeros(0, dtype=ROW)
        return Store(
            rows=rows,
            sources=sources,
            places=tuple(places),
            tokens=_mapped(self.folder / "tokens", self._dtype),
            folder=self.folder,
        )


@dataclass(frozen=True, kw_only=True)
class Store:
    """Documents in the order of reading: those of the source, then those that are held out."""

    rows: npt.NDArray[np.void]
    sources: int
    places: tuple[str, ...]
    tokens: TokenArray
    folder: Path

    @property
    def num_bytes(self) -> npt.NDArray[np.int64]:
        """int64 [documents]: bytes of each."""
        return np.diff(self.rows["text_end"], prepend=0)

    @property
    def num_tokens(self) -> npt.NDArray[np.int64]:
        """int64 [documents]: tokens of each."""
        return np.diff(self.rows["token_end"], prepend=0)

    @cached_property
    def token_ends(self) -> npt.NDArray[np.int64]:
        """int64 [documents]: where the tokens of each end; side by side in memory, for searches by the million."""
        return np.ascontiguousarray(self.rows["token_end"])

    @property
    def source_tokens(self) -> int:
        """Where the tokens of the source end and those held out begin."""
        return int(self.token_ends[self.sources - 1]) if self.sources else 0

    def text(self, document: int, *, most: int | None = None) -> str:
        """The text of a document, or about its first `most` bytes."""
        start, length = self._place("text_end", document)
        if most is not None and most < length:
            return os.pread(self._texts, most, start).decode("utf-8", errors="ignore")
        return os.pread(self._texts, length, start).decode("utf-8")

    def line(self, document: int) -> bytes:
        """The line of JSON that a document is from; empty if it is from none, or if lines were not kept."""
        start, length = self._place("line_end", document)
        return os.pread(self._lines, length, start)

    def _place(self, end: str, document: int) -> tuple[int, int]:
        start = int(self.rows[end][document - 1]) if document else 0
        return start, int(self.rows[end][document]) - start

    @cached_property
    def _texts(self) -> int:
        return os.open(self.folder / "texts", os.O_RDONLY)

    @cached_property
    def _lines(self) -> int:
        return os.open(self.folder / "lines", os.O_RDONLY)

    def close(self) -> None:
        for name in ("_texts", "_lines"):
            if name in self.__dict__:
                os.close(self.__dict__[name])

    def named(self, document: int) -> str:
        """Where a document is from, as in `data/a.jsonl:12`; a file that is one document has no number."""
        row = self.rows[document]
        return self.places[row["place"]] + (f":{row['number']}" if row["number"] else "")


def _mapped(path: Path, dtype: str) -> npt.NDArray[Any]:
    if not path.stat().st_size:  # nothing to map
        return np.empty(0, dtype=dtype)
    return np.asarray(np.memmap(path, dtype=dtype, mode="r"))
