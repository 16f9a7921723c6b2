"""JSON lines, plain or gzip: one document a line, the string under one field."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Iterator
from typing import IO

from paribus.errors import RequestError, shown
from paribus.text.data import spans
from paribus.text.data.failures import reading
from paribus.text.data.spans import Document, SourceFile, Span
from paribus.text.data.text_files import BOM

MAX_LINE_BYTES = 2**28
_COUNTED_AT_ONCE = 2**20
_LINE = "\0"


def cut_gzip(file: SourceFile) -> Iterator[Span]:
    """Spans with their own content, whole lines of about 4 MiB: nobody else can begin in the middle.

    Raises `RequestError` for a broken file.
    """
    with reading(file.path), open(file.path, "rb") as raw:
        lines = gzip.GzipFile(fileobj=raw)
        line, before, more = 1, 0, True
        while more:
            try:
                content = lines.read(spans.BLOCK_BYTES)
                content += lines.readline(MAX_LINE_BYTES + 1)
                more = bool(lines.peek(1))
            except (gzip.BadGzipFile, EOFError, zlib.error) as error:
                raise RequestError(
                    f"{shown(file.path)} is a broken gzip file after line {line - 1:,}: {error}"
                ) from error
            position = min(raw.tell(), file.size) if more else file.size
            yield Span(file, before, position, position - before, content, line)
            line += content.count(b"\n")
            before = position


def read_json_lines(span: Span, text_field: str) -> Iterator[Document]:
    """The documents of the lines that begin in the span.

    Blank lines are passed over; a text with lone surrogates is not text. Raises `RequestError` with the line
    number for a line that is no JSON object with a string there.
    """
    with reading(span.file.path), _opened(span) as lines:
        at, end = (0, len(span.content)) if span.content is not None else (_first_line(lines, span), span.end)
        begun = at
        while at < end and (line := lines.readline(MAX_LINE_BYTES + 1)):
            if len(line) > MAX_LINE_BYTES:
                raise RequestError(
                    f"{_place(span, at)} is longer than {MAX_LINE_BYTES:,} bytes: one document a line, please"
                )
            bare = (line.removeprefix(BOM) if at == 0 else line).rstrip()
            if bare:
                try:
                    text = _field_of(bare, text_field)
                except _WrongLine as error:
                    raise RequestError(str(error).replace(_LINE, _place(span, at))) from error
                done = at + len(line) - begun
                yield Document(text, span.size * done // len(span.content) if span.content else done, bare)
            at += len(line)


def _opened(span: Span) -> IO[bytes]:
    return io.BytesIO(span.content) if span.content is not None else open(span.file.path, "rb")


def _first_line(file: IO[bytes], span: Span) -> int:
    """Where the first line begins that begins at or after the span's start; the file is left there."""
    if span.start == 0:
        return 0
    file.seek(span.start - 1)
    at = span.start - 1
    while at < span.end:
        part = file.readline(_COUNTED_AT_ONCE)
        at += len(part)
        if not part or part.endswith(b"\n"):
            break
    return at


def _place(span: Span, at: int) -> str:
    """The line that begins at `at`, by its number in the file; counted only when it is wrong."""
    if span.content is not None:
        number = span.line + span.content.count(b"\n", 0, at)
    else:
        number, left = 1, at
        with open(span.file.path, "rb") as file:
            while left and (part := file.read(min(left, _COUNTED_AT_ONCE))):
                number += part.count(b"\n")
                left -= len(part)
    return f"line {number:,} of {shown(span.file.path)}"


class _WrongLine(ValueError):
    """What is wrong with a line, which stands in it as `_LINE`."""


def _field_of(line: bytes, text_field: str) -> str | None:
    try:
        row = json.loads(line.decode("utf-8").rstrip())
    except UnicodeDecodeError as error:
        raise _WrongLine(f"{_LINE} is not UTF-8: byte {error.start:,} of the line is wrong") from error
    except RecursionError as error:
        raise _WrongLine(f"{_LINE} is JSON nested too deeply to be read") from error
    except json.JSONDecodeError as error:
        raise _WrongLine(
            f"{_LINE} is not JSON: {error.msg.removesuffix(' at')} at column {error.colno:,}"
        ) from error
    except ValueError as error:
        raise _WrongLine(f"{_LINE} has a number of too many digits to be read") from error
    if not isinstance(row, dict):
        raise _WrongLine(f'{_LINE} is not a JSON object such as {{"{text_field}": "..."}} but {_kind(row)}')
    if text_field not in row:
        raise _WrongLine(f"{_LINE} has no field {text_field!r}, its fields are {names(list(row))}")
    text = row[text_field]
    if not isinstance(text, str):
        raise _WrongLine(
            f"the field {text_field!r} in {_LINE} is {_kind(text)} and not a string, its fields are "
            f"{names(list(row))}"
        )
    return text if _has_utf8(text) else None


def names(given: list[str]) -> str:
    """Names of fields for a message, cut where there are many."""
    if not given:
        return "none"
    return ", ".join(repr(name[:60]) for name in given[:12]) + (", ..." if len(given) > 12 else "")


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
