"""Where trials of a command run: each in a process group and a folder of its own, some at a time.

A trial writes into `trials/KEY` in the study's folder, which is its `{out}`; what it prints goes to a log there.
A trial that was cut off starts again in an emptied folder. Between the study and a command stands a keeper
(`keeper`), so that no command outlives the study, however that ended (but for what leaves its process group where
there is no Linux, or kills its keeper); what a finished command reported is read by `metrics`.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, cast

from paribus.study.command.keeper import GRACE_SECONDS
from paribus.study.command.metrics import FILE, Follower, outcome
from paribus.study.command.plan import METRIC, CommandTrial
from paribus.study.launchers.queue import TrialQueue

LOG = "paribus.log"

_KEEPER = Path(__file__).with_name("keeper.py")
_PROGRESS_EVERY = 0.5  # seconds
_LAST_LINES, _LAST_BYTES = 3, 4096

Finished = tuple[CommandTrial, dict[str, Any]]


def trial_folder(folder: Path, trial: CommandTrial) -> Path:
    """The `{out}` of a trial of the study in `folder`: absolute, wherever the program changes to."""
    return (folder / "trials" / trial.key).absolute()


@dataclass
class _Running:
    trial: CommandTrial
    out: Path
    process: subprocess.Popen[bytes]
    began: float
    follower: Follower
    tokens: int = 0
    said: bytearray = field(default_factory=bytearray)


@dataclass(kw_only=True)
class CommandLauncher:
    """At most `workers` commands at a time on this machine, each told to use `threads` threads.

    A context manager: leaving it ends what still runs, within two seconds. `lock` is a file descriptor that
    the keepers hold open (see `folder.hold`): a folder is free again once the last command is gone.
    """

    workers: int
    folder: Path
    lock: int
    metric: str = METRIC
    threads: int = 1
    _running: dict[int, _Running] = field(default_factory=dict)  # by the descriptor of the keeper's pipe
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()
        for running in self._running.values():
            _hang_up(running.process)
        give_up = time.monotonic() + GRACE_SECONDS + 0.5
        for running in self._running.values():
            try:
                running.process.wait(max(0.0, give_up - time.monotonic()))
            except subprocess.TimeoutExpired:
                _end(running.process)
        self._running.clear()

    def run(self, trials: Sequence[CommandTrial], *, progress: Callable[[int], None]) -> Iterator[Finished]:
        """Yield (trial, result) as they finish; `progress` gets the tokens reported since its last call.

        A command that fails, or leaves no score, makes its trial `failed`. An arm whose trials failed three
        times in a row gets no more of them. Raises `WorkError` when no trial at all succeeded.
        """
        # The queue looks at no more than an arm, a graph and a key, which trials of either kind have.
        queue: Any = TrialQueue(cast(Any, trials))
        while queue or self._running:
            while queue and len(self._running) < self.workers:
                self._start(queue.take())
            for trial, result in self._finished(progress):
                yield trial, result
                queue.finished(trial, result, log=trial_folder(self.folder, trial) / LOG)
        queue.check()

    def _start(self, trial: CommandTrial) -> None:
        out = _emptied(trial_folder(self.folder, trial))
        threads = {"OMP_NUM_THREADS": str(self.threads), "MKL_NUM_THREADS": str(self.threads)}
        with (out / LOG).open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_KEEPER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **threads},
                pass_fds=(self.lock,),
                start_new_session=True,
            )
        assert process.stdout is not None and process.stdin is not None
        self._selector.register(process.stdout, selectors.EVENT_READ)
        self._running[process.stdout.fileno()] = _Running(
            trial=trial, out=out, process=process, began=time.monotonic(), follower=Follower(out / FILE)
        )
        with contextlib.suppress(BrokenPipeError):  # it died; its closed stdout says so
            process.stdin.write(json.dumps(trial.arguments(out)).encode() + b"\n")
            process.stdin.flush()

    def _finished(self, progress: Callable[[int], None]) -> list[Finished]:
        """Wait a moment for commands to end; what each of them left. Tells progress of all on the way."""
        finished = []
        for key, _ in self._selector.select(_PROGRESS_EVERY):
            running = self._running[key.fd]
            chunk = os.read(key.fd, 1 << 16)
            running.said += chunk
            if chunk:
                continue
            finished.append((running.trial, self._bury(key.fd)))
            progress(running.trial.tokens - running.tokens)
        for running in self._running.values():
            # Never past the budget: what is still to come must not be less than nothing.
            now = min(running.follower.tokens(), running.trial.tokens) if running.trial.budget else 0
            if now > running.tokens:
                progress(now - running.tokens)
                running.tokens = now
        return finished

    def _bury(self, descriptor: int) -> dict[str, Any]:
        """The result of a command that has ended, with everything that it started."""
        running = self._running.pop(descriptor)
        assert running.process.stdout is not None
        self._selector.unregister(running.process.stdout)
        running.process.stdout.close()
        _hang_up(running.process)
        _end(running.process)
        return outcome(
            running.out,
            self.metric,
            failure=_failure(bytes(running.said), running.out / LOG),
            seconds=time.monotonic() - running.began,
            tokens=running.trial.budget,
        )


def _emptied(folder: Path) -> Path:
    if folder.is_symlink():
        folder.unlink()  # what it points to is not ours
    elif folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    return folder


def _hang_up(keeper: subprocess.Popen[bytes]) -> None:
    """Close the pipe to a keeper, which is its sign to end its group."""
    assert keeper.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # it died before it was told what to run
        keeper.stdin.close()


def _end(keeper: subprocess.Popen[bytes]) -> None:
    """Kill a keeper's whole group. It has not been waited for, so its number is nobody else's yet."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: nobody in the group is alive
        os.killpg(keeper.pid, signal.SIGKILL)
    keeper.wait()


def _failure(said: bytes, log: Path) -> str | None:
    """How the command failed, with the end of what it printed; None if it ended well."""
    try:
        ending = json.loads(said)
    except ValueError:
        return "the keeper of the command was killed, and the command with it"
    if "error" in ending:
        return f"the command could not be started: {ending['error']}"
    code = ending["code"]
    if code == 0:
        return None
    if code == -signal.SIGKILL:
        how = "the command was killed, most likely because memory ran out"
    elif code < 0:
        how = f"the command was ended by {_signal_name(-code)}"
    else:
        how = f"the command ended with exit code {code}"
    last = _last_lines(log)
    return f"{how}: {last}" if last else f"{how} and printed nothing"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # real-time signals have no names
        return f"signal {number}"


def _last_lines(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _LAST_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:  # the program may do with its folder what it likes
        return ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " / ".join(lines[-_LAST_LINES:])
