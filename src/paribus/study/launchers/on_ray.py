"""Trials on a Ray cluster, one actor a slot; the study stays here, with its ledger.

The cluster is reached through a process of its own (`ray_driver`), so that this one can stop at once and outlives
whatever happens to the cluster.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from paribus.errors import RequestError, WorkError
from paribus.study.launch import Finished
from paribus.study.launchers.queue import TrialQueue
from paribus.study.launchers.remote import pack, terms
from paribus.study.plan import Trial

#: Of the driver alone: say within half a minute that the cluster is gone, and do not report our use to Ray's makers.
_DRIVER_ENVIRONMENT = {"RAY_gcs_rpc_server_reconnect_timeout_s": "30", "RAY_USAGE_STATS_ENABLED": "0"}


@dataclass
class _Slot:
    ready: bool = False
    trial: Trial | None = None
    graph: str | None = None
    tokens: int = 0


@dataclass(kw_only=True)
class RayLauncher:
    """`workers` actors (None: as many as the cluster holds) of `threads` CPUs or one GPU each.

    `address` is `auto` for the cluster of this machine, or `host:port`; `data` is the plan's, and must name its
    `source`. A trial whose actor or node dies is tried again elsewhere, from its checkpoint where the node that goes on
    can see it. `gpus` of each actor: None for one where the cluster has any. A slot is given up when no node has
    room for it in `start_seconds`.
    """

    address: str
    workers: int | None
    threads: int
    data: Mapping[str, Any]
    folder: Path
    lock: int
    gpus: float | None = None
    checkpoint_seconds: float = 30.0
    start_seconds: float = 300.0
    _driver: subprocess.Popen[bytes] | None = field(default=None)
    _slots: dict[int, _Slot] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if importlib.util.find_spec("ray") is None:
            raise RequestError("the launcher ray needs the package ray: pip install 'paribus[ray]'")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._driver is not None:
            self._driver.kill()  # its cluster ends its actors then
            self._driver.wait()
        self._driver = None
        self._slots.clear()

    @property
    def log(self) -> Path:
        """What Ray and the driver print."""
        return self.folder / "logs" / "ray.log"

    def run(self, trials: Sequence[Trial], *, progress: Callable[[int], None]) -> Iterator[Finished]:
        """Yield (trial, result) as they finish; `progress` gets the tokens trained on since its last call.

        A trial whose actor dies starts again elsewhere; then `progress` gets back what it had counted. An arm whose
        trials failed three times in a row gets no more of them. Raises `WorkError` when the cluster cannot be
        reached or goes away, and when no trial at all succeeded.
        """
        queue = TrialQueue(trials)
        if not queue:
            return
        if self._driver is None:
            self._driver = self._start()
        self._hand_out(queue)
        while queue or any(slot.trial for slot in self._slots.values()):
            finished = self._take_in(self._message(), queue, progress)
            if finished is not None:
                yield finished
                queue.finished(*finished, log=self.log)
            self._hand_out(queue)
        queue.check()

    def _start(self) -> subprocess.Popen[bytes]:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        settings = {
            "address": self.address,
            "workers": self.workers,
            "threads": self.threads,
            "gpus": self.gpus,
            "checkpoint_seconds": self.checkpoint_seconds,
            "start_seconds": self.start_seconds,
            "terms": terms(self.data, folder=self.folder),
        }
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "paribus.study.launchers.ray_driver", json.dumps(settings)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **_DRIVER_ENVIRONMENT},
                pass_fds=(self.lock,),
            )

    def _hand_out(self, queue: TrialQueue) -> None:
        """Give every slot that waits a trial, while there are any."""
        for number, slot in self._slots.items():
            if not slot.ready or slot.trial is not None:
                continue
            busy = {other.graph for other in self._slots.values() if other.trial is not None}
            trial = queue.take(last=slot.graph, busy=busy)
            if trial is None:
                return
            slot.trial, slot.graph, slot.tokens = trial, trial.graph, 0
            assert self._driver is not None and self._driver.stdin is not None
            try:
                line = json.dumps({"slot": number, "package": pack(trial)})
                self._driver.stdin.write(line.encode() + b"\n")
                self._driver.stdin.flush()
            except BrokenPipeError:
                pass  # it died; its closed stdout says so

    def _message(self) -> dict[str, Any]:
        """What the driver says next. Raises `WorkError` when it is gone, or cannot go on."""
        assert self._driver is not None and self._driver.stdout is not None
        line = self._driver.stdout.readline()
        if not line.endswith(b"\n"):  # it ended, maybe in the middle of a word
            raise WorkError(
                f"the Ray cluster at {self.address} went away; finished trials are kept, run the same command again "
                f"when it is back (more is in {self.log})"
            )
        message: dict[str, Any] = json.loads(line)
        if message["event"] == "fatal":
            raise WorkError(
                f"there is no way to the Ray cluster at {self.address} ({message['reason']}): start one with "
                "`ray start --head`, or give its --address as HOST:PORT"
            )
        return message

    def _take_in(
        self, message: Mapping[str, Any], queue: TrialQueue, progress: Callable[[int], None]
    ) -> Finished | None:
        """Follow one message; the finished trial if there is one."""
        event = message["event"]
        if event == "slots":
            self._slots = {number: _Slot() for number in range(message["number"])}
            return None
        slot = self._slots.get(message["slot"])
        if slot is None:
            return None
        if event == "ready":
            slot.ready = True
        elif event == "progress" and slot.trial is not None:
            progress(message["tokens"] - slot.tokens)
            slot.tokens = message["tokens"]
        elif event == "result" and slot.trial is not None:
            result = message["result"]
            # A machine that fails every trial alike gets no second one, unless there is no other.
            if result.pop("unfit", False) and len(self._slots) > 1:
                del self._slots[message["slot"]]
                return _hand_back(slot, queue.put_back(slot.trial, result["reason"]), progress)
            return _finish(slot, result, progress)
        elif event == "lost":
            slot.ready = False
            if slot.trial is not None:
                lost = queue.lost(slot.trial, message["reason"], reached=slot.tokens)
                return _hand_back(slot, lost, progress)
        elif event == "retired":
            del self._slots[message["slot"]]
            if not self._slots:
                raise WorkError(f"the Ray cluster at {self.address} has no worker left: {message['reason']}")
        return None


def _finish(slot: _Slot, result: dict[str, Any], progress: Callable[[int], None]) -> Finished:
    assert slot.trial is not None
    progress(slot.trial.tokens - slot.tokens)
    trial, slot.trial = slot.trial, None
    return trial, result


def _hand_back(
    slot: _Slot, result: dict[str, Any] | None, progress: Callable[[int], None]
) -> Finished | None:
    """Free a slot of a trial that waits again, so what was done of it no longer counts; finished if it has a result."""
    if result is not None:
        return _finish(slot, result, progress)
    progress(-slot.tokens)
    slot.trial = None
    return None
