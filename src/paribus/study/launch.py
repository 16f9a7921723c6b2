"""Where trials run: a launcher takes trials and gives results back as they finish.

`LocalLauncher` keeps one-thread worker processes busy: on small models two of them do nearly twice the work
of one with two threads. Each worker gets its allocator and thread settings in its environment, because they
can only be set before a process starts.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from paribus.errors import WorkError
from paribus.study.plan import Trial
from paribus.text.data import default_cache

#: Steadies timings and keeps freed pages for the next step; never changed within a study.
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "1073741824", "MALLOC_TRIM_THRESHOLD_": "8589934592"}

_FAILURES_IN_A_ROW = 3  # after this many the study stops: the next trials would fail alike


class Launcher(Protocol):
    """Runs trials somewhere; yields each with its result, in any order."""

    def run(
        self, trials: Sequence[Trial], *, progress: Callable[[int], None]
    ) -> Iterator[tuple[Trial, dict[str, Any]]]: ...


def worker_environment(threads: int) -> dict[str, str]:
    """Settings that a worker starts with, beside the caller's own environment."""
    return {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "PASSIVE",
        **ALLOCATOR,
        "TORCHINDUCTOR_CACHE_DIR": str(default_cache() / "inductor"),
        # Compiling inside the worker: a pool of compile processes would outlive a killed study.
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
    }


@dataclass
class _Worker:
    process: subprocess.Popen[bytes]
    log: Path
    trial: Trial | None = None
    graph: str | None = None
    tokens: int = 0
    buffer: bytearray = field(default_factory=bytearray)


@dataclass(frozen=True, kw_only=True)
class LocalLauncher:
    """`workers` processes of `threads` threads each on this machine, working on the dataset in `data`.

    `lock` is a file descriptor that the workers keep open (see `folder.hold`). Their logs and checkpoints
    stand in `folder`.
    """

    workers: int
    threads: int
    data: Path
    folder: Path
    lock: int

    def run(
        self, trials: Sequence[Trial], *, progress: Callable[[int], None]
    ) -> Iterator[tuple[Trial, dict[str, Any]]]:
        """Yield (trial, result) as they finish; `progress` gets the tokens trained on since its last call.

        A worker that dies makes its trial `failed` and is replaced. Raises `WorkError` when three trials in
        a row have failed.
        """
        waiting = list(trials)
        workers: dict[int, _Worker] = {}
        failures = 0
        with selectors.DefaultSelector() as selector:

            def start(number: int) -> None:
                workers[number] = self._start(number)
                stdout = workers[number].process.stdout
                assert stdout is not None
                selector.register(stdout, selectors.EVENT_READ, number)
                hand_out(workers[number])

            def hand_out(worker: _Worker) -> None:
                busy = {other.graph for other in workers.values() if other is not worker and other.trial}
                trial = _next(waiting, last=worker.graph, busy=busy)
                worker.trial, worker.tokens = trial, 0
                if trial is None:
                    return
                worker.graph = trial.graph
                assert worker.process.stdin is not None
                try:
                    worker.process.stdin.write(trial.to_json().encode() + b"\n")
                    worker.process.stdin.flush()
                except BrokenPipeError:
                    pass  # it died; its closed stdout says so

            try:
                for number in range(min(self.workers, len(waiting))):
                    start(number)
                while any(worker.trial for worker in workers.values()):
                    for key, _ in selector.select():
                        worker = workers[key.data]
                        chunk = os.read(key.fd, 1 << 16)
                        finished: tuple[Trial, dict[str, Any]] | None = None
                        if chunk:
                            finished = _read(worker, chunk, progress)
                        else:
                            selector.unregister(key.fileobj)
                            if worker.trial is not None:
                                finished = worker.trial, {"status": "failed", "reason": _obituary(worker)}
                        if finished is None:
                            continue
                        failures = failures + 1 if finished[1]["status"] == "failed" else 0
                        yield finished
                        if failures >= _FAILURES_IN_A_ROW:
                            raise WorkError(
                                f"{failures} trials in a row failed, the last with: {finished[1]['reason']}; "
                                f"more is in {worker.log}"
                            )
                        if chunk:
                            hand_out(worker)
                        else:
                            start(key.data)
            finally:
                _stop(list(workers.values()))

    def _start(self, number: int) -> _Worker:
        log = self.folder / "logs" / f"worker-{number}.log"
        log.parent.mkdir(exist_ok=True)
        with log.open("ab") as errors:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "paribus.study.worker",
                    str(self.data),
                    str(self.folder / "checkpoints"),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, **worker_environment(self.threads)},
                pass_fds=(self.lock,),
            )
        return _Worker(process=process, log=log)


def _next(waiting: list[Trial], *, last: str | None, busy: set[str | None]) -> Trial | None:
    """Take the next trial for a worker: of its last graph, else of the longest queue nobody works on."""
    if not waiting:
        return None
    queues = Counter(trial.graph for trial in waiting)
    graph = last if last in queues else max(queues, key=lambda graph: (graph not in busy, queues[graph]))
    index = next(index for index, trial in enumerate(waiting) if trial.graph == graph)
    return waiting.pop(index)


def _read(
    worker: _Worker, chunk: bytes, progress: Callable[[int], None]
) -> tuple[Trial, dict[str, Any]] | None:
    """Take in what a worker wrote; the finished trial if there is one."""
    worker.buffer += chunk
    *lines, rest = worker.buffer.split(b"\n")
    worker.buffer = bytearray(rest)
    finished = None
    for line in lines:
        message = json.loads(line)
        assert worker.trial is not None
        tokens = message["tokens"] if message["event"] == "progress" else worker.trial.train.tokens
        progress(tokens - worker.tokens)
        worker.tokens = tokens
        if message["event"] == "result":
            finished = worker.trial, message["result"]
    return finished


def _obituary(worker: _Worker) -> str:
    code = worker.process.wait()
    if code == -signal.SIGKILL:
        return "the worker was killed, most likely because memory ran out"
    lines = worker.log.read_text(errors="replace").strip().splitlines()
    return f"the worker died with code {code}" + (f": {lines[-1]}" if lines else "")


def _stop(workers: Sequence[_Worker]) -> None:
    for worker in workers:
        worker.process.kill()
    for worker in workers:
        worker.process.wait()
        for stream in (worker.process.stdin, worker.process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    pass
