"""A piece of work as a message to another process: a line of JSON, then the content of spans that carry their own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from paribus.text.data.pieces import Piece
from paribus.text.data.spans import SourceFile, Span


def packed(piece: Piece) -> Iterator[bytes]:
    """The message that asks for a piece."""
    rows = [
        {
            "file": [str(span.file.path), span.file.size, span.file.mtime_ns, span.file.format],
            "span": [span.start, span.end, span.size],
            "content": None if span.content is None else len(span.content),
            "line": span.line,
        }
        for span in piece.spans
    ]
    yield json.dumps({"number": piece.number, "spans": rows}).encode() + b"\n"
    yield from (span.content for span in piece.spans if span.content)


def unpacked(line: bytes, stream: IO[bytes]) -> Piece:
    """The piece that `line` begins; `stream` stands behind it and has the contents."""
    message = json.loads(line)
    spans = []
    for row in message["spans"]:
        path, size, mtime_ns, format = row["file"]
        content = None if row["content"] is None else stream.read(row["content"])
        file = SourceFile(Path(path), size, mtime_ns, format)
        start, end, of_file = row["span"]
        spans.append(Span(file, start, end, of_file, content, row["line"]))
    return Piece(message["number"], tuple(spans))
