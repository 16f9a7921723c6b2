"""A worker process: pieces come in on stdin, finished pieces go to files, and what was done is said on stdout.

The tokenizer is opened once, and each piece is a file of its own when it is finished. When stdin closes, whoever sent the work is gone, and the worker ends at once.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
from pathlib import Path
from typing import IO, Any

from paribus.errors import ParibusError
from paribus.text.data.messages import unpacked
from paribus.text.data.pieces import Piece
from paribus.text.data.tokenising import PieceWork
from paribus.text.tokenizers import get_tokenizer

_TOLD_BYTES = 2**18


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
            waiting.put(unpacked(line, stream))
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
