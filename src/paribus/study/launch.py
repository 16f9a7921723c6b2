"""Where trials run: a launcher takes trials and gives results back as they finish.

`LocalLauncher` keeps worker processes busy, as many and with as many threads as `division` says. Each gets its
allocator and thread settings in its environment, because they can only be set before a process starts.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

from paribus.cores import WAITING
from paribus.errors import RequestError, nearest
from paribus.study.launchers.queue import TrialQueue
from paribus.study.plan import Trial
from paribus.text.data import default_cache

#: Steadies timings and keeps freed pages for the next step; never changed within a study.
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "1073741824", "MALLOC_TRIM_THRESHOLD_": "8589934592"}

LAUNCHERS = ("local", "ray", "slurm")

Finished = tuple[Trial, dict[str, Any]]


class Launcher(Protocol):
    """Runs trials somewhere; yields each with its result, in any order."""

    def run(self, trials: Sequence[Trial], *, progress: Callable[[int], None]) -> Iterator[Finished]: ...


def make_launcher(
    kind: str,
    *,
    workers: int | None,
    threads: int,
    data: Mapping[str, Any],
    folder: Path,
    lock: int,
    address: str | None = None,
    slurm: Mapping[str, Any] | None = None,
) -> AbstractContextManager[Launcher]:
    """The launcher called `kind` (one of `LAUNCHERS`) for the study in `folder` on the plan's `data`.

    At most `workers` trials run at a time, each on `threads` threads; None fills a Ray cluster. `address` is of
    that cluster, `slurm` the options of Slurm's jobs (see `on_slurm.OPTIONS`). Raises `RequestError` for an unknown
    kind, unknown options, or a package that is missing.
    """
    if kind == "local":
        return LocalLauncher(
            workers=workers or 1,
            threads=threads,
            data=default_cache() / "datasets" / data["sha256"],
            folder=folder,
            lock=lock,
        )
    if kind == "ray":
        from paribus.study.launchers.on_ray import RayLauncher

        return RayLauncher(
            address=address or "auto", workers=workers, threads=threads, data=data, folder=folder, lock=lock
        )
    if kind == "slurm":
        from paribus.study.launchers.on_slurm import SlurmLauncher

        return SlurmLauncher(
            folder=folder, workers=workers or 16, threads=threads, data=data, options=slurm or {}
        )
    raise RequestError(f"there is no launcher {kind!r}; {nearest(kind, LAUNCHERS)}")


def worker_environment(threads: int) -> dict[str, str]:
    """Settings that a worker starts with, beside the caller's own environment."""
    return {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        **WAITING,
        **ALLOCATOR,
        "TORCHINDUCTOR_CACHE_DIR": str(default_cache() / "inductor"),
        # Compiling inside the worker: a pool of compile processes would outlive a killed study.
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
    }


@dataclass
class _Worker:
    process: subprocess.Popen[bytes]
    log: Path
    log_start: int  # where this worker's own lines begin
    trial: Trial | None = None
    graph: str | None = None
    tokens: int = 0
    buffer: bytearray = field(default_factory=bytearray)


@dataclass(kw_only=True)
class LocalLauncher:
    """`workers` processes of `threads` threads each on this machine, working on the dataset in `data`.

    A context manager: workers live until it is left, so a grid that grows meets warm programs. `lock` is a
    file descriptor that the workers keep open (see `folder.hold`); their logs and checkpoints stand in
    `folder`.
    """

    workers: int
    threads: int
    data: Path
    folder: Path
    lock: int
    checkpoint_seconds: float = 30.0
    _workers: dict[int, _Worker] = field(default_factory=dict)
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()
        for worker in self._workers.values():
            worker.process.kill()
        for worker in self._workers.values():
            worker.process.wait()
        self._workers.clear()

    def run(self, trials: Sequence[Trial], *, progress: Callable[[int], None]) -> Iterator[Finished]:
        """Yield (trial, result) as they finish; `progress` gets the tokens trained on since its last call.

        A worker that dies makes its trial `failed` and is replaced. An arm whose trials failed three times in
        a row gets no more of them: they would fail alike. Raises `WorkError` when no trial at all succeeded.
        """
        queue = TrialQueue(trials)
        for number in range(min(self.workers, len(queue))):
            self._hand_out(number, queue)
        while any(worker.trial for worker in self._workers.values()):
            for key, _ in self._selector.select():
                number = key.data
                worker = self._workers[number]
                chunk = os.read(key.fd, 1 << 16)
                finished = _read(worker, chunk, progress) if chunk else self._bury(number)
                if finished is None:
                    continue
                yield finished
                queue.finished(*finished, log=worker.log)
                self._hand_out(number, queue)
        queue.check()

    def _hand_out(self, number: int, queue: TrialQueue) -> None:
        """Give a worker its next trial, starting the worker if there is none of that number."""
        worker = self._workers.get(number)
        busy = {other.graph for other in self._workers.values() if other is not worker and other.trial}
        trial = queue.take(last=worker.graph if worker else None, busy=busy)
        if trial is None:
            if worker is not None:
                worker.trial = None
            return
        if worker is None:
            worker = self._workers[number] = self._start(number)
        worker.trial, worker.graph, worker.tokens = trial, trial.graph, 0
        assert worker.process.stdin is not None
        try:
            worker.process.stdin.write(trial.to_json().encode() + b"\n")
            worker.process.stdin.flush()
        except BrokenPipeError:
            pass  # it died; its closed stdout says so

    def _start(self, number: int) -> _Worker:
        log = self.folder / "logs" / f"worker-{number}.log"
        log.parent.mkdir(exist_ok=True)
        with log.open("ab") as errors:
            log_start = errors.tell()
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "paribus.study.worker", str(self.data)),
                    *(str(self.folder / "checkpoints"), str(self.checkpoint_seconds)),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, **worker_environment(self.threads)},
                pass_fds=(self.lock,),
            )
        assert process.stdout is not None
        self._selector.register(process.stdout, selectors.EVENT_READ, number)
        return _Worker(process=process, log=log, log_start=log_start)

    def _bury(self, number: int) -> Finished | None:
        """Forget a worker that died; its trial, failed, if it had one."""
        worker = self._workers.pop(number)
        assert worker.process.stdout is not None
        self._selector.unregister(worker.process.stdout)
        code = worker.process.wait()
        if worker.trial is None:
            return None
        if code == -signal.SIGKILL:
            reason = "the worker was killed, most likely because memory ran out"
        else:
            lines = worker.log.read_bytes()[worker.log_start :].decode(errors="replace").strip().splitlines()
            reason = f"the worker died with code {code}" + (f": {lines[-1]}" if lines else "")
        return worker.trial, {"status": "failed", "reason": reason}


def _read(worker: _Worker, chunk: bytes, progress: Callable[[int], None]) -> Finished | None:
    """Take in what a worker wrote; the finished trial if there is one."""
    worker.buffer += chunk
    *lines, rest = worker.buffer.split(b"\n")
    worker.buffer = bytearray(rest)
    finished = None
    for line in lines:
        message = json.loads(line)
        assert worker.trial is not None
        tokens = message["tokens"] if message["event"] == "progress" else worker.trial.tokens
        progress(tokens - worker.tokens)
        worker.tokens = tokens
        if message["event"] == "result":
            finished = worker.trial, message["result"]
    return finished
