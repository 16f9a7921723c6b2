"""A part of a source file that can be read by itself, and the documents that come out of it.

Spans are what work is divided into, so they follow from the files alone and never from who reads them. How a
format is cut into spans, and a span into documents, belongs to the format.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from paribus.errors import RequestError, shown
from paribus.text.data.failures import reading

BLOCK_BYTES = 2**22


@dataclass(frozen=True)
class SourceFile:
    """A file of a source as it was when listed; `format` is a name in `readers.FORMATS`."""

    path: Path
    size: int
    mtime_ns: int
    format: str


@dataclass(frozen=True)
class Span:
    """Part of a file, from `start` to `end`: bytes, or groups of rows where the format has such.

    `size` is how many bytes of the file it accounts for. A format that can only be read from its beginning gives
    the `content` itself, which begins in line `line`.
    """

    file: SourceFile
    start: int
    end: int
    size: int
    content: bytes | None = None
    line: int = 1


class Document(NamedTuple):
    """One document: its text, or None for what is not text; and how many bytes of its span the reader has done.

    `line` is the line of JSON that it is from, bare; empty where it is from none.
    """

    text: str | None
    position: int
    line: bytes = b""


@dataclass(frozen=True)
class Format:
    """How a file is cut into spans, and how a span and the name of a field give documents."""

    cut: Callable[[SourceFile], Iterator[Span]]
    read: Callable[[Span, str], Iterator[Document]]


def blocks(file: SourceFile) -> Iterator[Span]:
    """Spans of 4 MiB; an empty file has none."""
    for start in range(0, file.size, BLOCK_BYTES):
        end = min(start + BLOCK_BYTES, file.size)
        yield Span(file, start, end, end - start)


def check_unchanged(file: SourceFile) -> None:
    """Raises `RequestError` if the file is not as it was when listed: what was read is neither old nor new."""
    with reading(file.path):
        status = file.path.stat()
    if (status.st_size, status.st_mtime_ns) != (file.size, file.mtime_ns):
        raise RequestError(
            f"{shown(file.path)} changed while it was read: keep the source still and begin again"
        )
