"""Packed conversations on disk: a folder of flat files, read as memory maps, and the `meta.json` that describes them.

A side has four: its tokens without any padding, a byte for each that says whether it is scored, where each document
starts, and with which document each row does. Positions, document numbers and padding are made when rows are read.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from paribus.errors import RequestError, WorkError, shown
from paribus.text.data.dataset import TOKENIZER
from paribus.text.tokenizers import Tokenizer, get_tokenizer

KIND, FORMAT = "packed conversations", 1
META = "meta.json"
PADDING = -1  # in place of a document's number

Numbers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


class Rows(NamedTuple):
    """Packed rows, each array [n, seq_len].

    `ids` are tokens, the end of a document where there is padding; `scored` is true for tokens that are to be
    predicted, never for the first of a document; `position` counts from 0 in each document; `document` numbers a row's
    documents from 0, and is `PADDING` for padding.
    """

    ids: Numbers
    scored: Flags
    position: Numbers
    document: Numbers


@dataclass(frozen=True, kw_only=True)
class PackedSplit:
    """One side: `num_rows` rows of `seq_len` places for `num_documents` documents of `num_tokens` tokens.

    The documents are `num_conversations` conversations, where none was split. Of the tokens `num_scored` are scored, which stand for `scored_bytes` bytes of text. `num_tokens` and `num_bytes` count
    all that is kept.
    """

    name: str
    folder: Path
    dtype: str
    seq_len: int
    filler: int
    num_rows: int
    num_conversations: int
    num_documents: int
    num_tokens: int
    num_bytes: int
    num_scored: int
    scored_bytes: int

    @property
    def padded(self) -> int:
        """Places that no token has."""
        return self.num_rows * self.seq_len - self.num_tokens

    @cached_property
    def documents(self) -> Numbers:
        """int64 [num_documents + 1]: where each document starts among the tokens, and where the last ends."""
        return self._read("documents", "<i8")

    @cached_property
    def row_starts(self) -> Numbers:
        """int64 [num_rows + 1]: the first document of each row, and the number of documents."""
        return self._read("rows", "<i8")

    def rows(self, index: Numbers) -> Rows:
        """The rows `index`, int64 [n]. Raises `RequestError` outside [0, num_rows)."""
        if len(index) and not 0 <= index.min() <= index.max() < self.num_rows:
            raise RequestError(
                f"row {index.max():,} was asked of the {self.name} side, which has {self.num_rows:,}"
            )
        first = self.documents[self.row_starts[index]][:, None]
        end = self.documents[self.row_starts[index + 1]][:, None]
        place = first + np.arange(self.seq_len)
        there = place < end
        taken = np.minimum(place, self.num_tokens - 1)
        document = np.searchsorted(self.documents, taken, side="right") - 1
        return Rows(
            ids=np.where(there, self._tokens[taken], self.filler).astype(np.int64),
            scored=np.where(there, self._scored[taken], 0).astype(np.bool_),
            position=np.where(there, place - self.documents[document], place - end),
            document=np.where(there, document - self.row_starts[index][:, None], PADDING),
        )

    def counts(self, index: Numbers) -> tuple[int, int]:
        """How many tokens the rows `index` have together, and how many of them are scored."""
        borders = self.documents[self.row_starts]
        scored = np.add.reduceat(self._scored, borders[:-1], dtype=np.int64)
        return int(np.diff(borders)[index].sum()), int(scored[index].sum())

    @cached_property
    def _tokens(self) -> npt.NDArray[Any]:
        return self._read("tokens", self.dtype)

    @cached_property
    def _scored(self) -> npt.NDArray[Any]:
        return self._read("scored", "u1")

    def _read(self, what: str, dtype: str) -> npt.NDArray[Any]:
        # As a plain array: indexing an np.memmap costs several times as much.
        return np.asarray(np.memmap(file_path(self.folder, self.name, what), dtype=dtype, mode="r"))

    def file_sizes(self) -> dict[Path, int]:
        """How many bytes each file must have."""
        sizes = {
            "tokens": np.dtype(self.dtype).itemsize * self.num_tokens,
            "scored": self.num_tokens,
            "documents": 8 * (self.num_documents + 1),
            "rows": 8 * (self.num_rows + 1),
        }
        return {file_path(self.folder, self.name, what): size for what, size in sizes.items()}


@dataclass(frozen=True, kw_only=True)
class PackedDataset:
    """Conversations ready for training; `sha256` is their identity, `ledger` says where everything went."""

    name: str
    sha256: str
    folder: Path
    tokenizer: str
    template: str
    loss: str
    overflow: str
    seq_len: int
    ledger: dict[str, int]
    train: PackedSplit
    heldout: PackedSplit

    def open_tokenizer(self) -> Tokenizer:
        """The tokenizer that made the ids, from the folder itself unless its name says it all."""
        return get_tokenizer(self.tokenizer_place)

    @property
    def tokenizer_place(self) -> str:
        """What `get_tokenizer` takes for it."""
        kept = self.folder / TOKENIZER
        return str(kept) if kept.is_dir() else self.tokenizer

    @property
    def bytes(self) -> int:
        return self.train.num_bytes + self.heldout.num_bytes


#: What a split and a dataset have in meta.json.
_OF_SPLIT = (
    "num_rows",
    "num_conversations",
    "num_documents",
    "num_tokens",
    "num_bytes",
    "num_scored",
    "scored_bytes",
)
_OF_ALL = ("name", "sha256", "tokenizer", "template", "loss", "overflow")


def file_path(folder: Path, split: str, what: str) -> Path:
    """`folder`/train-tokens.bin and so on."""
    return folder / f"{split}-{what}.bin"


def write_meta(dataset: PackedDataset, folder: Path) -> None:
    """Write `folder`/meta.json, all that `load_packed` needs beside the files."""
    meta: dict[str, Any] = {"kind": KIND, "format": FORMAT}
    meta |= {key: getattr(dataset, key) for key in _OF_ALL}
    meta |= {"seq_len": dataset.seq_len, "dtype": dataset.train.dtype, "filler": dataset.train.filler}
    meta["ledger"] = dataset.ledger
    meta["splits"] = {
        split.name: {key: getattr(split, key) for key in _OF_SPLIT}
        for split in (dataset.train, dataset.heldout)
    }
    (folder / META).write_text(json.dumps(meta, indent=2) + "\n", encoding="utf-8")


def is_packed(folder: str | os.PathLike[str]) -> bool:
    """Whether the folder says that it holds packed conversations; whether they are whole `load_packed` finds out."""
    try:
        meta = json.loads((Path(folder) / META).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(meta, dict) and meta.get("kind") == KIND


def load_packed(folder: str | os.PathLike[str]) -> PackedDataset:
    """Open a folder of packed conversations; no token is read.

    Raises `RequestError` if it is none, or if a file has not the size that meta.json gives it.
    """
    folder = Path(folder).absolute()
    try:
        meta = json.loads((folder / META).read_text(encoding="utf-8"))
        if meta["kind"] != KIND or meta["format"] != FORMAT:
            raise ValueError(f"it says {meta['kind']!r} of format {meta['format']!r}")
        found = PackedDataset(
            **{key: str(meta[key]) for key in _OF_ALL},
            folder=folder,
            seq_len=int(meta["seq_len"]),
            ledger={str(key): int(value) for key, value in meta["ledger"].items()},
            train=_split("train", folder, meta),
            heldout=_split("heldout", folder, meta),
        )
        for split in (found.train, found.heldout):
            for path, expected in split.file_sizes().items():
                if (size := path.stat().st_size) != expected:
                    raise ValueError(f"{path.name} has {size:,} bytes and should have {expected:,}")
        return found
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RequestError(
            f"{shown(folder)} is no whole folder of packed conversations ({type(error).__name__}: {error}): make it "
            "again with paribus data sft"
        ) from error


def content_sha256(
    paths: Iterable[Path],
    *,
    tokenizer: str,
    seq_len: int,
    progress: Callable[[int], None] = lambda more: None,
) -> str:
    """Identity of packed conversations: every file of numbers, and what else a training would see.

    `progress` hears of the bytes of each file that was read.
    """
    digest = hashlib.sha256(f"{tokenizer}\0{seq_len}\0".encode())
    for path in sorted(paths):
        with open(path, "rb") as file:
            digest.update(f"{path.name}\0".encode() + hashlib.file_digest(file, "sha256").digest())
            progress(file.tell())
    return digest.hexdigest()


def check_packed(dataset: PackedDataset, *, progress: Callable[[int, int], None]) -> int:
    """Read every file of numbers against the sha256 of all of them; returns how many bytes that were.

    `progress(done, total)` counts them. Raises `WorkError` if a byte is not what was written.
    """
    sizes = dataset.train.file_sizes() | dataset.heldout.file_sizes()
    total, done = sum(sizes.values()), 0

    def tell(more: int) -> None:
        nonlocal done
        done += more
        progress(done, total)

    progress(0, total)
    try:
        found = content_sha256(sizes, tokenizer=dataset.tokenizer, seq_len=dataset.seq_len, progress=tell)
    except OSError as error:
        raise WorkError(f"{shown(dataset.folder)} cannot be read: {error.strerror or error}") from error
    if found != dataset.sha256:
        raise WorkError(
            f"{shown(dataset.folder)} is damaged: its numbers are not those that were written; pack the source again"
        )
    return total


def _split(name: str, folder: Path, meta: dict[str, Any]) -> PackedSplit:
    dtype = {"<u2": "<u2", "<u4": "<u4"}[meta["dtype"]]
    counts = {key: int(meta["splits"][name][key]) for key in _OF_SPLIT}
    if min(counts.values()) < 0 or counts["num_rows"] == 0:
        raise ValueError(f"its {name} side is empty")
    return PackedSplit(
        name=name,
        folder=folder,
        dtype=dtype,
        seq_len=int(meta["seq_len"]),
        filler=int(meta["filler"]),
        **counts,
    )
