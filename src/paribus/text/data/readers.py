"""One reader per format: a file -> its documents, a bounded amount of memory at a time.

A reader knows what a document is in its format and what can be wrong with one; which files there are belongs
in `corpus.py`.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from paribus.errors import RequestError, shown
from paribus.text.data.failures import reading

PIECE_BYTES = 2048
MAX_LINE_BYTES = 2**28
_BOM = b"\xef\xbb\xbf"
_SNIFF_BYTES = 2**16
_ROWS_AT_ONCE = 256


class Document(NamedTuple):
    """One document: its text, or None for what is not text; and how far into its file the reader is."""

    text: str | None
    position: int


Reader = Callable[[Path, str], Iterator[Document]]


def read_whole(path: Path, text_field: str) -> Iterator[Document]:
    """The file as one document; text is None if it is binary (a NUL byte) or not UTF-8."""
    with reading(path), open(path, "rb") as file:
        content = file.read(_SNIFF_BYTES)  # a film in the folder is not worth reading to its end
        if b"\0" not in content:
            content += file.read()
        position = file.tell()
    text = None if b"\0" in content else _decoded(content.removeprefix(_BOM))
    yield Document(text, position)


def read_pieces(path: Path, text_field: str) -> Iterator[Document]:
    """A lone text file, cut so that it can be split: pieces of at least 2,048 bytes where there are as many.

    A piece ends at the first blank line after 2,048 bytes, else at the first line end after 4,096, else at
    the first whole character after 8,192. Raises `RequestError` at a NUL byte or at what is not UTF-8.
    """
    with reading(path), open(path, "rb") as file:
        start = len(_BOM) if file.read(len(_BOM)) == _BOM else 0
        file.seek(start)
        held: bytes | None = None  # one piece is held back so that a short tail can join it
        for piece in _cut(file):
            if held is not None and len(piece) >= PIECE_BYTES:
                yield Document(_strictly_decoded(held, path, start), file.tell())
                start += len(held)
                held = piece
            else:
                held = (held or b"") + piece
        if held is not None:
            yield Document(_strictly_decoded(held, path, start), file.tell())


def read_jsonl(path: Path, text_field: str) -> Iterator[Document]:
    """One document a line: the string under `text_field`; plain or gzip by the ending of `path`.

    Blank lines are passed over; a text with lone surrogates is not text. Raises `RequestError` with the line
    number for a line that is no JSON object with a string there, and for a broken gzip file.
    """
    with reading(path), open(path, "rb") as raw:
        lines: IO[bytes] = gzip.GzipFile(fileobj=raw) if path.suffix.lower() == ".gz" else raw  # type: ignore[assignment]
        number, place = 0, shown(path)
        while True:
            try:
                line = lines.readline(MAX_LINE_BYTES + 1)
            except (gzip.BadGzipFile, EOFError, zlib.error) as error:
                raise RequestError(f"{place} is a broken gzip file after line {number:,}: {error}") from error
            if not line:
                return
            number += 1
            where = f"line {number:,} of {place}"
            if len(line) > MAX_LINE_BYTES:
                raise RequestError(
                    f"{where} is longer than {MAX_LINE_BYTES:,} bytes: one document a line, please"
                )
            if number == 1:
                line = line.removeprefix(_BOM)
            if line.strip():
                yield Document(_field_of(line, where, text_field), raw.tell())


def read_parquet(path: Path, text_field: str) -> Iterator[Document]:
    """One document a row: the string column `text_field`; a null is an empty document.

    Raises `RequestError` without pyarrow, for a broken file and for a column that is missing or no string.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise RequestError(
            f"reading {shown(path)} needs pyarrow, which is not installed: pip install 'paribus[parquet]'"
        ) from error
    with reading(path), open(path, "rb") as file:
        size = path.stat().st_size
        try:
            table = pyarrow.parquet.ParquetFile(file)
            _check_column(table.schema_arrow, text_field, path)
            done = 0
            for rows in table.iter_batches(batch_size=_ROWS_AT_ONCE, columns=[text_field]):
                for value in rows.column(0):
                    done += 1
                    yield Document(_string_of(value), size * done // table.metadata.num_rows)
        except (pyarrow.ArrowException, OSError) as error:  # a damaged page comes as a bare OSError
            reason = " ".join(str(error).split()).split(". ")[0].rstrip(".")
            raise RequestError(f"{shown(path)} is a broken parquet file: {reason}") from error


def _cut(file: IO[bytes]) -> Iterator[bytes]:
    piece = b""
    while line := file.readline(4 * PIECE_BYTES):
        piece += line
        ends_line = line.endswith(b"\n")
        if ends_line and len(piece) >= (2 * PIECE_BYTES if line.strip() else PIECE_BYTES):
            yield piece
            piece = b""
        elif len(piece) >= 4 * PIECE_BYTES:
            end = len(piece) - _unfinished(piece)
            yield piece[:end]
            piece = piece[end:]
    if piece:
        yield piece


def _unfinished(piece: bytes) -> int:
    """Bytes at the end of `piece` that begin a UTF-8 character and do not finish it: 0 to 3."""
    for back in range(1, 4):
        byte = piece[-back]
        if byte >= 0xC0:  # the first byte of a character of 2, 3 or 4 bytes
            return back if back < 2 + (byte >= 0xE0) + (byte >= 0xF0) else 0
        if byte < 0x80:
            return 0
    return 0


def _decoded(content: bytes) -> str | None:
    try:
        return content.decode("utf-8")
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


def _field_of(line: bytes, where: str, text_field: str) -> str | None:
    try:
        row = json.loads(line.decode("utf-8").rstrip())
    except UnicodeDecodeError as error:
        raise RequestError(f"{where} is not UTF-8: byte {error.start:,} of the line is wrong") from error
    except RecursionError as error:
        raise RequestError(f"{where} is JSON nested too deeply to be read") from error
    except json.JSONDecodeError as error:
        raise RequestError(f"{where} is not JSON: {error.msg} at column {error.colno:,}") from error
    except ValueError as error:
        raise RequestError(f"{where} has a number of too many digits to be read") from error
    if not isinstance(row, dict):
        raise RequestError(f'{where} is not a JSON object such as {{"{text_field}": "..."}} but {_kind(row)}')
    if text_field not in row:
        raise RequestError(f"{where} has no field {text_field!r}, its fields are {_names(list(row))}")
    text = row[text_field]
    if not isinstance(text, str):
        raise RequestError(
            f"the field {text_field!r} in {where} is {_kind(text)} and not a string, its fields are "
            f"{_names(list(row))}"
        )
    return text if _has_utf8(text) else None


def _has_utf8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # "\ud800" is legal JSON
        return False
    return True


def _kind(value: object) -> str:
    kinds = {
        bool: "a boolean",
        int: "a number",
        float: "a number",
        str: "a string",
        list: "a list",
        dict: "an object",
    }
    return kinds.get(type(value), "null")


def _names(names: list[str]) -> str:
    if not names:
        return "none"
    return ", ".join(repr(name[:60]) for name in names[:12]) + (", ..." if len(names) > 12 else "")


def _check_column(schema: Any, text_field: str, path: Path) -> None:
    import pyarrow

    if text_field not in schema.names:
        raise RequestError(
            f"{shown(path)} has no column {text_field!r}, its columns are {_names(schema.names)}"
        )
    kind = schema.field(text_field).type
    if pyarrow.types.is_dictionary(kind):
        kind = kind.value_type
    if not (pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind)):
        raise RequestError(
            f"the column {text_field!r} of {shown(path)} holds {kind} and not strings, its columns are "
            f"{_names(schema.names)}"
        )


def _string_of(value: Any) -> str | None:
    try:
        return value.as_py() or ""
    except UnicodeDecodeError:  # parquet does not check that its strings are UTF-8
        return None
