"""From a source to a `Store`: every document read once, tokenised, hashed and sketched, on all workers.

A source is what `prepare` takes, or the folder of a prepared dataset, whose two sides are then source and held-out text.
Documents that are not text or only blanks are left out, as `prepare` leaves them out.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from paribus.errors import RequestError, shown
from paribus.text.data.audit.inorder import in_order
from paribus.text.data.audit.minhash import bands
from paribus.text.data.audit.shingles import shingles
from paribus.text.data.audit.store import Batch, Store, Writer
from paribus.text.data.corpus import Source, list_source, no_text
from paribus.text.data.dataset import Dataset, holds_dataset, load_dataset
from paribus.text.data.failures import writing
from paribus.text.data.readers import documents_of, spans_of
from paribus.text.data.shards import Split
from paribus.text.tokenizers import Tokenizer, get_tokenizer

Progress = Callable[[str, int, int, str], None]

READING = "reading text"
_BATCH_LETTERS = 2**17
_BATCH_DOCUMENTS = 512


class Given(NamedTuple):
    """A document as it was found: its text (None for what is none), its place, its number there, bytes read so far.

    `line` is the line of JSON that it is from; empty where it is from none.
    """

    text: str | None
    place: int
    number: int
    position: int
    line: bytes = b""


@dataclass(frozen=True)
class Part:
    """A source, or its held-out text: how to name it, how long it is, and its documents."""

    name: str
    place: str
    num_bytes: int
    skipped: int
    documents: Callable[[list[str]], Iterator[Given]]


def parts_of(
    source: str, *, against: str | None, text_field: str, tokenizer: str | None
) -> tuple[Part, Part | None, Tokenizer]:
    """The source, the held-out text if there is one, and the tokenizer, by default that of a dataset or "bytes".

    Raises `RequestError` if there is nothing to read, or held-out text is given twice.
    """
    dataset = _dataset(source)
    coder = dataset.open_tokenizer() if dataset and tokenizer is None else get_tokenizer(tokenizer or "bytes")
    if dataset is None:
        return _listed(source, text_field), _apart(against, text_field), coder
    if against is not None:
        raise RequestError(
            f"{shown(source)} is a prepared dataset with held-out text of its own: leave --against out"
        )
    return _split(dataset, dataset.train), _split(dataset, dataset.heldout), coder


def read(
    source: Part,
    heldout: Part | None,
    *,
    tokenizer: Tokenizer,
    folder: Path,
    workers: int,
    progress: Progress,
    keep_lines: bool = False,
) -> tuple[Store, int]:
    """The documents of both in a store in `folder`, and how many were not text or empty.

    With `keep_lines` the store has the lines of JSON that documents are from. Raises `RequestError` if one has no text, `WorkError` for a full disk.
    """
    last = tokenizer.vocab_size - 1
    # An end of document is never stored: ids of the byte tokenizer fit in a byte.
    writer = Writer(folder, ids=last if tokenizer.end_of_document == last else last + 1)
    places: list[str] = []
    left_out = 0
    total = source.num_bytes + (heldout.num_bytes if heldout else 0)
    told, counts = 0, []
    for part in (source, heldout):
        if part is None:
            continue
        before, tally = writer.documents, _Tally(part.skipped, part.skipped, part.skipped)

        def made(batch: list[Given]) -> tuple[Batch, int]:
            return _batch(batch, tokenizer, keep_lines=keep_lines), batch[-1].position

        for batch, position in in_order(made, _batches(part, places, tally), workers=workers):
            with writing(folder.parent):
                writer.add(batch)
            progress(READING, told + min(position, part.num_bytes), total, "bytes")
        told += part.num_bytes
        left_out += tally.left_out
        counts.append(writer.documents - before)
        if not counts[-1]:
            raise no_text(part.place, tally.looked_at, tally.skipped)
    progress(READING, total, total, "bytes")
    return writer.store(places, sources=counts[0]), left_out


@dataclass
class _Tally:
    """Documents looked at, those that were not text, and those left out for that or as empty."""

    looked_at: int
    skipped: int
    left_out: int = 0


def _batches(part: Part, places: list[str], tally: _Tally) -> Iterator[list[Given]]:
    waiting: list[Given] = []
    letters = 0
    for given in part.documents(places):
        tally.looked_at += 1
        tally.skipped += given.text is None
        if not given.text or given.text.isspace():
            tally.left_out += 1
            continue
        waiting.append(given)
        letters += len(given.text)
        if letters >= _BATCH_LETTERS or len(waiting) >= _BATCH_DOCUMENTS:
            yield waiting
            waiting, letters = [], 0
    if waiting:
        yield waiting


def _batch(given: list[Given], tokenizer: Tokenizer, *, keep_lines: bool) -> Batch:
    texts = [each.text or "" for each in given]
    contents = [text.encode("utf-8") for text in texts]
    found = shingles(texts)
    return Batch(
        contents=contents,
        lines=[each.line if keep_lines else b"" for each in given],
        tokens=[tokenizer.encode(text) for text in texts],
        digests=b"".join(hashlib.sha256(content).digest() for content in contents),
        bands=bands(found),
        shingles=found.counts,
        places=[each.place for each in given],
        numbers=[each.number for each in given],
    )


def _dataset(source: str) -> Dataset | None:
    folder = Path(os.path.expanduser(source))
    return load_dataset(folder) if holds_dataset(folder) else None


def _apart(against: str | None, text_field: str) -> Part | None:
    if against is None:
        return None
    dataset = _dataset(against)
    return _split(dataset, dataset.heldout) if dataset else _listed(against, text_field)


def _listed(source: str, text_field: str) -> Part:
    listing = list_source(source)

    def documents(places: list[str]) -> Iterator[Given]:
        return _documents(listing, text_field, places)

    return Part(listing.name, listing.place, listing.num_bytes, listing.skipped, documents)


def _documents(listing: Source, text_field: str, places: list[str]) -> Iterator[Given]:
    before = 0
    for file in listing.files:
        places.append(shown(file.path))
        number = 0
        for span in spans_of(file):
            for found in documents_of(span, text_field):
                number += file.format != "file"  # one that is a document by itself needs no number
                position = before + min(found.position, span.size)
                yield Given(found.text, len(places) - 1, number, position, found.line)
            before += span.size


def _split(dataset: Dataset, split: Split) -> Part:
    coder = dataset.open_tokenizer()

    def documents(places: list[str]) -> Iterator[Given]:
        places.append(f"{shown(dataset.folder)}/{split.name}")
        starts: Iterable[int] = split.documents.tolist()
        ends = [*split.documents.tolist()[1:], split.num_tokens]
        position = 0
        for number, (start, end) in enumerate(zip(starts, ends, strict=True), 1):
            text = coder.decode(split.read(start, end - start))
            position += len(text.encode("utf-8"))
            yield Given(text, len(places) - 1, number, position)

    name = f"{dataset.name}, {split.name}"
    return Part(name, shown(dataset.folder), split.num_bytes, 0, documents)
