"""Text to a prepared dataset, in two passes and constant memory apart from 192 bytes a document.

Of these, 64 say what a document is and where it lies and 128 are its sketch; while documents are divided, 350
more are needed. The first pass tokenises in the order of reading into one file, the second copies that into
shards in the order that `documents.py` decides. Disk needed on the way: twice the tokens.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from paribus.errors import RequestError
from paribus.text.data.building import building_folder, publish
from paribus.text.data.corpus import Source, list_source, no_text
from paribus.text.data.dataset import Dataset, write_meta, write_tokenizer
from paribus.text.data.documents import DocumentIndex, DocumentTable, Sides, divide
from paribus.text.data.failures import writing
from paribus.text.data.near_duplicates import Sketcher, Sketches
from paribus.text.data.reuse import Store, is_whole, request_key
from paribus.text.data.shards import Split, token_dtype, write_documents, write_shards
from paribus.text.tokenizers import TokenArray, Tokenizer

Progress = Callable[[int, int], None]

SHARD_TOKENS = 2**27
_PROGRESS_CALLS = 500
_BUFFER_TOKENS = 2**19


def prepare(
    source: str | os.PathLike[str],
    *,
    tokenizer: Tokenizer,
    cache: str | os.PathLike[str],
    text_field: str = "text",
    held_out: float = 0.1,
    leave_out: Sequence[str | os.PathLike[str]] = (),
    progress: Progress | None = None,
    shard_tokens: int = SHARD_TOKENS,
) -> Dataset:
    """Tokenise `source`, split it by groups of near-duplicate documents and keep it under `cache`.

    What is there already is reused while the source is unchanged.

    `source` is "stdlib", a text file, a folder, a .jsonl, .jsonl.gz or .parquet file; `text_field` names the
    field or column of the last three. `held_out` is the share of bytes that no training window sees.
    `leave_out` are folders not to look into. `progress(done, total)` counts bytes of the source; it is not
    called when nothing has to be read. Raises `RequestError` for a source that cannot be used, `WorkError`
    for a full disk.
    """
    if not 0 < held_out < 1:
        raise RequestError(
            f"held_out is {held_out:g}: it is a share of the bytes, more than 0 and less than 1"
        )
    if shard_tokens < 1:
        raise RequestError(f"shard_tokens is {shard_tokens}: a shard holds at least 1 token")
    store = Store(Path(os.path.expanduser(cache)).absolute())
    apart = tuple(Path(os.path.expanduser(folder)).absolute() for folder in leave_out)
    listing = list_source(source, leave_out=(store.datasets, store.sources, *apart))
    key = request_key(listing, tokenizer_name=tokenizer.name, text_field=text_field, held_out=held_out)
    if (ready := store.find(key)) is not None:
        return ready

    tell = _tell_nobody if progress is None else progress
    with building_folder(store.datasets) as folder:
        tokens, table, sketches, skipped = _tokenise(
            listing, folder / "tokens", tokenizer=tokenizer, text_field=text_field, progress=tell
        )
        sides = divide(table, sketches, held_out=held_out, place=listing.place)
        del table, sketches
        with writing(store.cache):
            splits = _write_shards(sides, tokens, folder / "result", shard_tokens=shard_tokens)
            built = _describe(
                sides, splits, name=listing.name, skipped=skipped, tokenizer_name=tokenizer.name
            )
            write_tokenizer(tokenizer, built.folder)
            write_meta(built, built.folder)
            publish(built.folder, store.datasets / built.sha256, is_good=is_whole)
            dataset = store.remember(key, built, workplace=folder)
    tell(listing.num_bytes, listing.num_bytes)
    return dataset


def _tokenise(
    listing: Source, path: Path, *, tokenizer: Tokenizer, text_field: str, progress: Progress
) -> tuple[TokenArray, DocumentTable, Sketches, int]:
    """Tokens of all documents as read, where each lies there, its sketch, and how many documents were not text."""
    dtype = token_dtype(tokenizer.vocab_size)
    total, stride = listing.num_bytes, max(listing.num_bytes // _PROGRESS_CALLS, 1)
    looked_at = skipped = listing.skipped
    written, index, sketcher = _TokenFile(path, dtype), DocumentIndex(), Sketcher()
    told = 0
    progress(0, total)
    for text, position in listing.documents(text_field):
        looked_at += 1
        skipped += text is None
        if text and not text.isspace():
            content, tokens = text.encode("utf-8"), tokenizer.encode(text)
            digest = hashlib.sha256(content).digest()
            index.add(digest, offset=written.length, num_tokens=len(tokens) + 1, num_bytes=len(content))
            sketcher.add(content)
            written.append(tokens, tokenizer.end_of_document)
        if told + stride <= position < total:  # the end is told when the result is in place
            progress(position, total)
            told = position
    if written.length == 0:
        raise no_text(listing.place, looked_at, skipped)
    return written.read(), index.table(), sketcher.sketches(), skipped


class _TokenFile:
    """A file of `length` tokens that grows document by document, a buffer at a time."""

    def __init__(self, path: Path, dtype: str) -> None:
        self.length = 0
        self._path = path
        self._unwritten = np.empty(_BUFFER_TOKENS, dtype=dtype)
        self._waiting = 0

    def append(self, tokens: TokenArray, end: int) -> None:
        self.length += len(tokens) + 1
        if self._waiting + len(tokens) + 1 > _BUFFER_TOKENS:
            self._write(self._unwritten[: self._waiting])
            self._waiting = 0
        if len(tokens) + 1 > _BUFFER_TOKENS:
            self._write(tokens.astype(self._unwritten.dtype, copy=False))
            tokens = tokens[:0]
        self._unwritten[self._waiting : self._waiting + len(tokens)] = tokens
        self._unwritten[self._waiting + len(tokens)] = end
        self._waiting += len(tokens) + 1

    def read(self) -> TokenArray:
        """All tokens, mapped and not loaded."""
        self._write(self._unwritten[: self._waiting])
        self._waiting = 0
        return np.asarray(np.memmap(self._path, dtype=self._unwritten.dtype, mode="r"))

    def _write(self, tokens: TokenArray) -> None:
        # The folder of the build would tell the reader nothing: it is gone by then.
        datasets = self._path.parent.parent
        with writing(datasets), open(self._path, "ab") as file:
            file.write(tokens.data)


def _write_shards(sides: Sides, tokens: TokenArray, folder: Path, *, shard_tokens: int) -> dict[str, Split]:
    folder.mkdir()
    dtype = tokens.dtype.str
    splits = {}
    for name, rows in (("train", sides.train), ("heldout", sides.heldout)):
        places = zip(rows["offset"], rows["tokens"], strict=True)
        documents = (tokens[offset : offset + length] for offset, length in places)
        shards = write_shards(folder, name, documents, dtype=dtype, shard_tokens=shard_tokens)
        write_documents(folder, name, lengths=rows["tokens"], groups=rows["group"])
        splits[name] = Split(
            name=name,
            folder=folder,
            dtype=dtype,
            shards=shards,
            num_tokens=int(rows["tokens"].sum()),
            num_bytes=int(rows["bytes"].sum()),
            num_documents=len(rows),
            num_groups=int(rows["group"].max()) + 1,
        )
    return splits


def _describe(
    sides: Sides, splits: dict[str, Split], *, name: str, skipped: int, tokenizer_name: str
) -> Dataset:
    train, heldout = splits["train"], splits["heldout"]
    return Dataset(
        name=name,
        sha256=sides.sha256(tokenizer_name),
        bytes=train.num_bytes + heldout.num_bytes,
        documents=train.num_documents + heldout.num_documents,
        duplicates=sides.duplicates,
        near_duplicates=sides.near_duplicates,
        near_duplicate_groups=sides.near_duplicate_groups,
        skipped=skipped,
        folder=train.folder,
        tokenizer=tokenizer_name,
        train=train,
        heldout=heldout,
    )


def _tell_nobody(done: int, total: int) -> None:
    pass
