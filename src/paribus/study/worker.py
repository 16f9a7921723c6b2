"""A worker process: trials come in as JSON lines on stdin, progress and results go out on stdout.

It keeps the compiled program of the last architecture, so trials of one arm cost no new compilation. When
stdin closes, the study is gone and the worker ends at once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from paribus.study.plan import Trial
from paribus.text.data import Dataset, load_dataset
from paribus.train.program import Program
from paribus.train.run import run

_PROGRESS_EVERY = 0.25  # seconds


class TrialRunner:
    """Runs trials on one prepared dataset, reusing the program of the last architecture."""

    def __init__(self, data: Dataset, *, checkpoints: Path, checkpoint_seconds: float = 30.0) -> None:
        self.data, self.checkpoints, self.checkpoint_seconds = data, checkpoints, checkpoint_seconds
        self._graph: str | None = None
        self._program: Program | None = None
        self._own: Dataset | None = None

    def forget(self) -> None:
        """Drop the program, whatever state a trial that raised has left it in."""
        self._graph = self._program = None

    def _data(self, trial: Trial) -> Dataset:
        """The study's dataset, or that of the trial's arm, which lies beside it."""
        if trial.data is None or trial.data == self.data.sha256:
            return self.data
        if self._own is None or self._own.sha256 != trial.data:
            self._own = load_dataset(self.data.folder.parent / trial.data)
        return self._own

    def run(self, trial: Trial, *, progress: Callable[[int, int], None]) -> dict[str, Any]:
        """The result of one trial as plain data."""
        if self._program is None or trial.graph != self._graph:
            self._program = None  # free the old one first
            self._program = Program(trial.model, trial.train)
            self._graph = trial.graph
        result = run(
            self._program,
            self._data(trial),
            trial.train,
            seed=trial.seed,
            rate=trial.rate,
            salted=trial.salted,
            probes=trial.probes,
            checkpoint=self.checkpoints / f"{trial.key}.pt",
            checkpoint_seconds=self.checkpoint_seconds,
            progress=progress,
        )
        return dataclasses.asdict(result)


def main() -> None:
    """`python -m paribus.study.worker DATASET CHECKPOINTS SECONDS`; see `launch.LocalLauncher`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the study stops us
    # What libraries print must not mix with the protocol.
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_read, args=(lines,), daemon=True).start()

    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))

    def send(message: dict[str, Any]) -> None:
        try:
            out.write(json.dumps(message) + "\n")
        except BrokenPipeError:
            os._exit(0)

    dataset, checkpoints, seconds = sys.argv[1:]
    runner = TrialRunner(
        load_dataset(Path(dataset)), checkpoints=Path(checkpoints), checkpoint_seconds=float(seconds)
    )
    while True:
        line = lines.get()

        try:
            trial = Trial.from_json(line)  # imports a user's own part, which may fail
            result = runner.run(trial, progress=_reporter(send, tokens_per_step=trial.train.tokens_per_step))
        except Exception as error:  # noqa: BLE001 - whatever a part raises is this trial's result
            runner.forget()
            with contextlib.suppress(OSError):  # a full disk holds no log either
                traceback.print_exc()
            last = (str(error).strip().splitlines() or [""])[0]
            result = {"status": "failed", "reason": f"{type(error).__name__}: {last}"}
        send({"event": "result", "result": result})


def _reporter(send: Callable[[dict[str, Any]], None], *, tokens_per_step: int) -> Callable[[int, int], None]:
    """A progress function that sends the tokens done, a few times a second."""
    sent = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal sent
        if time.monotonic() - sent > _PROGRESS_EVERY:
            sent = time.monotonic()
            send({"event": "progress", "tokens": done * tokens_per_step})

    return progress


def _read(lines: queue.Queue[str]) -> None:
    for line in sys.stdin:
        lines.put(line)
    os._exit(0)


if __name__ == "__main__":
    main()
