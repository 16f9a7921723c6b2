"""Worker processes that make pieces: started, fed one piece at a time, listened to, and ended.

They are started afresh and not forked, so that no lock and no thread of this process is copied half way.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from paribus.errors import ParibusError, RequestError, WorkError, shown
from paribus.text.data.messages import packed
from paribus.text.data.pieces import Piece

_ERRORS: dict[str, type[ParibusError]] = {kind.__name__: kind for kind in (RequestError, WorkError)}
# A tokenizer library that starts threads of its own would take the cores from the other workers.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


@dataclass
class _Worker:
    process: subprocess.Popen[bytes]
    piece: Piece | None = None
    unread: bytearray = field(default_factory=bytearray)


class WorkerPool:
    """`workers` processes that open the tokenizer `tokenizer`, whose name must be `name`, and write into `folder`.

    A context manager; on leaving it the workers end, at once if there is still work.
    """

    def __init__(self, workers: int, *, tokenizer: str, name: str, text_field: str, folder: Path) -> None:
        command = [sys.executable, "-m", "paribus.text.data.worker", tokenizer, text_field, str(folder)]
        self._name = name
        self._selector = selectors.DefaultSelector()
        self._workers: list[_Worker] = []
        for _ in range(workers):
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, **_ONE_THREAD},
                start_new_session=True,
            )
            worker = _Worker(process)
            self._workers.append(worker)
            assert process.stdout is not None
            self._selector.register(process.stdout, selectors.EVENT_READ, worker)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        for worker in self._workers:
            worker.process.kill()  # a piece counts only when it is whole, so nothing can be lost
        for worker in self._workers:
            worker.process.wait()
            for pipe in (worker.process.stdin, worker.process.stdout):
                with suppress(OSError):  # the rest of a message that nobody reads
                    if pipe is not None:
                        pipe.close()
        self._selector.close()

    def run(self, pieces: Iterator[Piece], *, progress: Callable[[int], None]) -> None:
        """Make all `pieces`; `progress` is told of bytes of the source.

        If some fail, raises the error of the first of them in their order, whoever worked on it and when.
        """
        failed: dict[int, ParibusError] = {}
        pieces = _until_failure(pieces, failed)
        free = list(self._workers)
        while True:
            while free and not failed and (piece := next(pieces, None)) is not None:
                self._send(free.pop(), piece)
            busy = [worker for worker in self._workers if worker.piece is not None]
            first = min(failed, default=None)
            # A later piece cannot change what is said.
            if not any(first is None or worker.piece.number < first for worker in busy if worker.piece):
                break
            for key, _ in self._selector.select():
                worker = key.data
                if (error := self._listen(worker, progress)) is not None:
                    failed[worker.piece.number if worker.piece else -1] = error
                    worker.piece = None
                elif worker.piece is None and worker not in free:
                    free.append(worker)
        if failed:
            raise failed[min(failed)]

    def _send(self, worker: _Worker, piece: Piece) -> None:
        worker.piece = piece
        assert worker.process.stdin is not None
        with suppress(BrokenPipeError):  # a worker that died is found when it is listened to
            for part in packed(piece):
                worker.process.stdin.write(part)
            worker.process.stdin.flush()

    def _listen(self, worker: _Worker, progress: Callable[[int], None]) -> ParibusError | None:
        """Take what a worker has said; an error if it or its piece failed."""
        assert worker.process.stdout is not None
        said = os.read(worker.process.stdout.fileno(), 2**16)
        if not said:
            self._selector.unregister(worker.process.stdout)
            return self._died(worker)
        worker.unread += said
        while (end := worker.unread.find(b"\n")) >= 0:
            message = json.loads(worker.unread[:end])
            del worker.unread[: end + 1]
            if "error" in message:
                self._selector.unregister(worker.process.stdout)
                return _ERRORS[message["error"]](message["message"])
            if message.get("ready", self._name) != self._name:
                return RequestError("the tokenizer changed while the workers opened it: begin again")
            progress(message.get("bytes", 0))
            if "done" in message:
                worker.piece = None
        return None

    def _died(self, worker: _Worker) -> WorkError:
        code = worker.process.wait()
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        at = f" at {shown(worker.piece.spans[0].file.path)}" if worker.piece else ""
        memory = ", perhaps because memory ran out (try fewer workers)" if code == -signal.SIGKILL else ""
        return WorkError(
            f"a worker {how}{at}{memory}: what was finished is kept, so the same again goes on from there"
        )


def _until_failure(pieces: Iterator[Piece], failed: dict[int, ParibusError]) -> Iterator[Piece]:
    """The pieces; an error in cutting them is that of the piece that would have been next."""
    number = 0
    try:
        for piece in pieces:
            number = piece.number + 1
            yield piece
    except ParibusError as error:
        failed[number] = error
