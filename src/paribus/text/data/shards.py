"""Tokens on disk: files of little-endian ids behind a header, written in order and read as memory maps.

A split is one long row of tokens; that it is cut into files is known here only. Beside the shards stand two
files of uint64, one number a document: where it starts in that row, and its group of near-duplicates.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from paribus.errors import RequestError
from paribus.text.data.headers import Header, Identity, numbers_file, numbers_in
from paribus.text.tokenizers import TokenArray


def token_dtype(vocab_size: int) -> str:
    """The smallest of "<u2" and "<u4" that holds every id."""
    return "<u2" if vocab_size <= 2**16 else "<u4"


def shard_path(folder: Path, split: str, number: int) -> Path:
    """`folder`/train-00000.bin and so on."""
    return folder / f"{split}-{number:05d}.bin"


def write_shards(
    folder: Path,
    split: str,
    documents: Iterable[TokenArray],
    *,
    dtype: str,
    shard_tokens: int,
    identity: Identity,
) -> tuple[int, ...]:
    """Write `documents` end to end, `shard_tokens` tokens in each file but the last; returns tokens per file."""
    sizes: list[int] = []
    waiting = iter(documents)
    rest = next(waiting, None)
    while rest is not None:
        room = shard_tokens
        path, first = shard_path(folder, split, len(sizes)), shard_tokens * len(sizes)
        with numbers_file(
            path, kind="tokens", split=split, dtype=dtype, first=first, identity=identity
        ) as append:
            while rest is not None and room:
                part = rest[:room]
                append(part)
                room -= len(part)
                rest = rest[len(part) :] if len(part) < len(rest) else next(waiting, None)
        sizes.append(shard_tokens - room)
    return tuple(sizes)


def documents_path(folder: Path, split: str) -> Path:
    """`folder`/train-documents.bin: the first token of each document."""
    return folder / f"{split}-documents.bin"


def groups_path(folder: Path, split: str) -> Path:
    """`folder`/train-groups.bin: the group of near-duplicates that each document is of."""
    return folder / f"{split}-groups.bin"


def write_documents(
    folder: Path,
    split: str,
    *,
    lengths: npt.NDArray[np.int64],
    groups: npt.NDArray[np.int64],
    identity: Identity,
) -> None:
    """Write where documents of `lengths` tokens start, one after the other, and their `groups`."""
    starts = np.cumsum(lengths) - lengths
    for kind, path, numbers in (
        ("documents", documents_path(folder, split), starts),
        ("groups", groups_path(folder, split), groups),
    ):
        with numbers_file(path, kind=kind, split=split, dtype="<u8", first=0, identity=identity) as append:
            append(numbers)


def expected_headers(split: Split, identity: Identity) -> dict[Path, Header]:
    """Every file of a split with the header that it must have, but for the checksum."""
    width = np.dtype(split.dtype).itemsize
    files: dict[Path, Header] = {}
    first = 0
    for number, tokens in enumerate(split.shards):
        files[shard_path(split.folder, split.name, number)] = Header(
            kind="tokens", split=split.name, item_bytes=width, first=first, items=tokens, identity=identity
        )
        first += tokens
    for kind, path in (("documents", documents_path), ("groups", groups_path)):
        files[path(split.folder, split.name)] = Header(
            kind=kind, split=split.name, item_bytes=8, first=0, items=split.num_documents, identity=identity
        )
    return files


@dataclass(frozen=True, kw_only=True)
class Split:
    """One side of a dataset: a row of `num_tokens` ids that stand for `num_bytes` bytes of text.

    Its documents fall into `num_groups` groups of near-duplicates; one that is like no other is a group of
    its own. All files are mapped on first use and never loaded whole.
    """

    name: str
    folder: Path
    dtype: str
    shards: tuple[int, ...]
    num_tokens: int
    num_bytes: int
    num_documents: int
    num_groups: int

    @cached_property
    def documents(self) -> npt.NDArray[np.int64]:
        """int64 [num_documents]: the first token of each document, from 0 upwards."""
        return _numbers(documents_path(self.folder, self.name))

    @cached_property
    def groups(self) -> npt.NDArray[np.int64]:
        """int64 [num_documents]: the group of each document, numbered from 0 as they first appear in the split."""
        return _numbers(groups_path(self.folder, self.name))

    def groups_at(self, tokens: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """int64 of the shape of `tokens`: the group of the document that each of these tokens is of."""
        if tokens.size:
            self._check(int(tokens.min()), int(tokens.max()), 1)
        return self.groups[np.searchsorted(self.documents, tokens, side="right") - 1]

    @cached_property
    def _maps(self) -> list[npt.NDArray[Any]]:
        paths = [shard_path(self.folder, self.name, number) for number in range(len(self.shards))]
        return [numbers_in(path, self.dtype) for path in paths]

    @cached_property
    def _borders(self) -> npt.NDArray[np.int64]:
        return np.concatenate([[0], np.cumsum(self.shards)]).astype(np.int64)

    def read(self, start: int, length: int) -> TokenArray:
        """Tokens [start, start + length), a copy. Raises `RequestError` outside [0, num_tokens]."""
        self._check(start, start, length)
        parts = []
        end = start + length
        for number, first in enumerate(self._borders[:-1].tolist()):
            if first < end and start < first + self.shards[number]:
                parts.append(self._maps[number][max(start - first, 0) : end - first])
        return np.concatenate(parts) if parts else np.empty(0, dtype=self.dtype)

    def windows(self, starts: npt.NDArray[np.int64], length: int) -> TokenArray:
        """[len(starts), length]: row i holds tokens [starts[i], starts[i] + length).

        Raises `RequestError` if a window reaches outside the split.
        """
        if len(starts) == 0:
            return np.empty((0, length), dtype=self.dtype)
        self._check(int(starts.min()), int(starts.max()), length)
        index = starts[:, None] + np.arange(length)
        if len(self.shards) == 1:
            return self._maps[0][index]
        shard = np.searchsorted(self._borders, index, side="right") - 1
        out = np.empty(index.shape, dtype=self.dtype)
        for number in np.unique(shard):
            here = shard == number
            out[here] = self._maps[number][index[here] - self._borders[number]]
        return out

    def _check(self, lowest: int, highest: int, length: int) -> None:
        if lowest < 0 or length < 0 or highest + length > self.num_tokens:
            raise RequestError(
                f"tokens {lowest:,} to {highest + length:,} were asked of the {self.name} split, which has "
                f"0 to {self.num_tokens:,}"
            )


def _numbers(path: Path) -> npt.NDArray[np.int64]:
    return numbers_in(path, "<u8").view("<i8")
