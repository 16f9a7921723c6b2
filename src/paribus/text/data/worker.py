"""A worker process: pieces come in on stdin, finished pieces go to files, and what was done is said on stdout.

A message is a line of JSON; a piece may be followed by the content of its spans. The tokenizer is opened once.
When stdin closes, whoever sent the work is gone, and the worker ends at once.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from paribus.errors import ParibusError
from paribus.text.data.pieces import Piece
from paribus.text.data.spans import SourceFile, Span
from paribus.text.data.tokenising import PieceWork
from paribus.text.tokenizers import get_tokenizer

_TOLD_BYTES = 2**18


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


def _unpacked(line: bytes, stream: IO[bytes]) -> Piece:
    message = json.loads(line)
    spans = []
    for row in message["spans"]:
        path, size, mtime_ns, format = row["file"]
        content = None if row["content"] is None else stream.read(row["content"])
        file = SourceFile(Path(path), size, mtime_ns, format)
        start, end, of_file = row["span"]
        spans.append(Span(file, start, end, of_file, content, row["line"]))
    return Piece(message["number"], tuple(spans))


class _Telling:
    """Sends messages; many small steps of progress are told as one."""

    def __init__(self, out: IO[str]) -> None:
        self._out = out
        self._untold = 0

    def send(self, message: dict[str, Any]) -> None:
        try:
            self._out.write(json.dumps(message) + "\n")
            self._out.flush()
        except BrokenPipeError:
            os._exit(0)

    def progress(self, more: int) -> None:
        self._untold += more
        if self._untold >= _TOLD_BYTES:
            self.send({"bytes": self._untold})
            self._untold = 0

    def done(self, number: int) -> None:
        self.send({"bytes": self._untold, "done": number})
        self._untold = 0


def main() -> None:
    """`python -m paribus.text.data.worker TOKENIZER TEXT_FIELD FOLDER`; see `pool.py`."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches the whole group; whoever started us stops us
    # What libraries print must not mix with the messages.
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    waiting: queue.Queue[Piece] = queue.Queue()

    def receive() -> None:
        stream = os.fdopen(os.dup(sys.stdin.fileno()), "rb")  # our own: Python may not end while we read its
        while line := stream.readline():
            waiting.put(_unpacked(line, stream))
        os._exit(0)

    threading.Thread(target=receive, daemon=True).start()
    telling = _Telling(out)
    tokenizer, text_field, folder = sys.argv[1:]
    try:
        work = PieceWork(tokenizer=get_tokenizer(tokenizer), text_field=text_field, folder=Path(folder))
        telling.send({"ready": work.tokenizer.name})
        while True:
            piece = waiting.get()
            work.do(piece, progress=telling.progress)
            telling.done(piece.number)
    except ParibusError as error:
        telling.send({"error": type(error).__name__, "message": str(error)})


if __name__ == "__main__":
    main()
