"""Plain text: a file that is one document, or one that is cut into pieces because it is large or stands alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from paribus.errors import RequestError, shown
from paribus.text.data.failures import reading
from paribus.text.data.spans import Document, SourceFile, Span, blocks

PIECE_BYTES = 2048
MOST_WHOLE_BYTES = 2**24
BOM = b"\xef\xbb\xbf"
_SNIFF_BYTES = 2**16
_BLANK_LINE = re.compile(rb"\n[ \t\r\v\f]*\n")


def cut_file(file: SourceFile) -> Iterator[Span]:
    """A file in a folder: all of it, or blocks of what is too long to be one document."""
    if file.size <= MOST_WHOLE_BYTES or _is_binary(file.path):
        yield Span(file, 0, file.size, file.size)
    else:
        yield from blocks(file)


def read_file(span: Span, text_field: str) -> Iterator[Document]:
    """The file as one document, or the pieces of a block; text is None if it is binary (a NUL byte) or not UTF-8."""
    if span.size < span.file.size:
        for _, piece, position in _pieces(span):
            yield Document(_decoded(piece), position)
        return
    with reading(span.file.path), open(span.file.path, "rb") as file:
        content = file.read(_SNIFF_BYTES)  # a film in the folder is not worth reading to its end
        if b"\0" not in content:
            content += file.read(MOST_WHOLE_BYTES)
    yield Document(_decoded(content.removeprefix(BOM)), span.size)


def read_pieces(span: Span, text_field: str) -> Iterator[Document]:
    """A block of a lone text file, cut so that it can be split: pieces of at least 2,048 bytes where there are as many.

    A block begins at the first line that begins in its first 8,192 bytes, else at the first whole character. A
    piece ends at the first blank line after 2,048 bytes, else at the first line end after 4,096, else at the first
    whole character after 8,192. Raises `RequestError` at a NUL byte or at what is not UTF-8.
    """
    for start, piece, position in _pieces(span):
        yield Document(_strictly_decoded(piece, span.file.path, start), position)


def _pieces(span: Span) -> Iterator[tuple[int, bytes, int]]:
    """Where each piece begins in the file, the piece, and how many bytes of the span end with it."""
    with reading(span.file.path), open(span.file.path, "rb") as file:
        first, end = _border(file, span.start, span.file.size), _border(file, span.end, span.file.size)
        file.seek(first)
        block = file.read(end - first)
    start = first
    if first == 0 and block.startswith(BOM):
        start, block = len(BOM), block[len(BOM) :]
    held = b""  # one piece is held back so that a short tail can join it
    for piece in _cut(block):
        if held and len(piece) >= PIECE_BYTES:
            yield start, held, min(start + len(held) - first, span.size)
            start += len(held)
            held = piece
        else:
            held += piece
    if held:
        yield start, held, span.size


def _border(file: IO[bytes], at: int, size: int) -> int:
    """Where the block that is to begin at `at` does begin; it follows from the bytes there, whoever asks."""
    if at <= 0 or at >= size:
        return min(max(at, 0), size)
    file.seek(at - 1)
    around = file.read(4 * PIECE_BYTES)
    if (line_end := around.find(b"\n")) >= 0:
        return at + line_end
    inside = 0
    while inside < 3 and 0x80 <= around[1 + inside : 2 + inside].ljust(1)[0] < 0xC0:
        inside += 1
    return at + inside


def _cut(block: bytes) -> Iterator[bytes]:
    start = 0
    while len(block) - start > PIECE_BYTES:
        # From the line end before on, so that a blank line right there is seen.
        blank = _BLANK_LINE.search(block, start + PIECE_BYTES - 2, start + 2 * PIECE_BYTES)
        if blank is not None:
            end = blank.end()
        elif (line_end := block.find(b"\n", start + 2 * PIECE_BYTES - 1, start + 4 * PIECE_BYTES)) >= 0:
            end = line_end + 1
        else:
            end = min(start + 4 * PIECE_BYTES, len(block))
            end -= _unfinished(block[end - 3 : end])
        yield block[start:end]
        start = end
    if start < len(block):
        yield block[start:]


def _unfinished(piece: bytes) -> int:
    """Bytes at the end of `piece` that begin a UTF-8 character and do not finish it: 0 to 3."""
    for back in range(1, 4):
        byte = piece[-back]
        if byte >= 0xC0:  # the first byte of a character of 2, 3 or 4 bytes
            return back if back < 2 + (byte >= 0xE0) + (byte >= 0xF0) else 0
        if byte < 0x80:
            return 0
    return 0


def _is_binary(path: Path) -> bool:
    with reading(path), open(path, "rb") as file:
        return b"\0" in file.read(_SNIFF_BYTES)


def _decoded(content: bytes) -> str | None:
    try:
        return None if b"\0" in content else content.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _strictly_decoded(content: bytes, path: Path, start: int) -> str:
    if (found := content.find(b"\0")) >= 0:
        raise RequestError(
            f"{shown(path)} is not UTF-8 text but binary (or UTF-16): it has a NUL byte at offset {start + found:,}"
        )
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RequestError(
            f"{shown(path)} is not UTF-8 text: byte 0x{content[error.start]:02x} at offset "
            f"{start + error.start:,} is wrong there ({error.reason})"
        ) from error
