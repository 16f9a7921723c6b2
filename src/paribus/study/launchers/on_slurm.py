"""Trials as jobs of Slurm, through submitit: one job a trial, so many at a time.

The study's folder has to be on a disk that the nodes share: jobs find their trial there, leave its result, and say
there how far they are. A job ends itself when the study that submitted it is gone, which it sees by a file. What is
run in a job is `remote.RemoteRunner`, as on Ray.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, Self

from paribus.errors import RequestError, WorkError, nearest
from paribus.study.launch import Finished
from paribus.study.launchers.queue import TrialQueue
from paribus.study.launchers.remote import RemoteRunner, pack, remote_environment, terms
from paribus.study.plan import Trial

#: Options of `sbatch` that a study hands on, by the name that submitit has for them; `time` is in minutes or h:m:s.
OPTIONS = {
    "account": "slurm_account",
    "constraint": "slurm_constraint",
    "exclude": "slurm_exclude",
    "gpus": "slurm_gpus_per_node",
    "gres": "slurm_gres",
    "mem": "slurm_mem",
    "nodelist": "slurm_nodelist",
    "partition": "slurm_partition",
    "qos": "slurm_qos",
    "setup": "slurm_setup",
    "time": "slurm_time",
}
_TIME = 240  # minutes of a job; a longer trial goes on in its next one

_LOOK_EVERY = 0.3  # seconds between looks at the files of jobs
_ASK_EVERY = 30.0  # seconds between questions to Slurm
_TELL_EVERY = 1.0  # seconds between a job's words on how far it is
_CANCEL_SECONDS = 1.5  # for scancel, before Ctrl-C goes on without its answer
_NODE = "SLURMD_NODENAME"  # the name of its node, in the environment of a job
_ALIVE = "alive"  # in the folder of a session: its jobs are wanted


class _Stopped(BaseException):
    """The job was told to end. Not an `Exception`, which would be the trial's own failure."""


@dataclass(frozen=True, kw_only=True)
class TrialJob:
    """What a job calls. Its result is a trial's, or {"lost": why} if it had to end before.

    `unfit` in it names the node that would fail any trial of the study, or is None where nodes have no names.
    """

    terms: Mapping[str, Any]
    session: Path
    checkpoints: Path
    checkpoint_seconds: float

    def __call__(self, key: str, package: Mapping[str, Any]) -> dict[str, Any]:
        # Instead of submitit's own handlers: what becomes of a trial is decided where the study runs.
        for number in (signal.SIGTERM, signal.SIGUSR2):
            signal.signal(number, _stop)
        told = 0.0

        def progress(tokens: int) -> None:
            nonlocal told
            if time.monotonic() - told < _TELL_EVERY:
                return
            told = time.monotonic()
            if not (self.session / _ALIVE).exists():
                raise _Stopped("the study is gone")
            with contextlib.suppress(OSError):
                (self.session / f"{key}.tokens").write_text(str(tokens))

        runner = RemoteRunner(
            terms=self.terms, checkpoints=self.checkpoints, checkpoint_seconds=self.checkpoint_seconds
        )
        try:
            result = runner.run(package, progress=progress)
            return {**result, "unfit": os.environ.get(_NODE)} if result.get("unfit") else result
        except _Stopped as stopped:
            return {"lost": f"the job ended early: {stopped}"}


def _stop(number: int, frame: object) -> NoReturn:
    raise _Stopped("it was preempted, cancelled, or at the end of its time")


@dataclass
class _Job:
    trial: Trial
    handle: Any  # submitit.Job
    tokens: int = 0
    ended: float | None = None  # when Slurm first said so, while its result was not to be seen


@dataclass(kw_only=True)
class SlurmLauncher:
    """At most `workers` jobs at a time of `threads` CPUs each; `options` are those of `OPTIONS`.

    `cluster` is `slurm`, or `local` for jobs that are processes here. `data` is the plan's, and must name its
    `source`. A trial whose job ends without a result (out of time, preempted, its node gone) is submitted again and
    goes on from its checkpoint; `file_seconds` is what a network disk may take to show a result.
    """

    folder: Path
    workers: int
    threads: int
    data: Mapping[str, Any]
    options: Mapping[str, Any] = field(default_factory=dict)
    cluster: str = "slurm"
    checkpoint_seconds: float = 30.0
    file_seconds: float = 15.0
    _jobs: list[_Job] = field(default_factory=list)
    _session: Path | None = None
    _executor: Any = None
    _asked: float = 0.0
    _unfit: dict[str, str] = field(default_factory=dict)  # why nodes are left out, by name

    def __post_init__(self) -> None:
        for option in self.options:
            if option not in OPTIONS:
                raise RequestError(f"there is no Slurm option {option!r}; {nearest(option, OPTIONS)}")
        if importlib.util.find_spec("submitit") is None:
            raise RequestError("the launcher slurm needs the package submitit: pip install 'paribus[slurm]'")
        if self.cluster == "slurm" and not (shutil.which("sbatch") and shutil.which("srun")):
            raise RequestError(
                "there are no sbatch and srun here: start the study on a machine that submits to Slurm"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End what runs: jobs see that the session is over, and Slurm is told to cancel them."""
        if self._session is not None:
            (self._session / _ALIVE).unlink(missing_ok=True)
        if self.cluster == "slurm" and self._jobs:
            command = ["scancel", *(job.handle.job_id for job in self._jobs)]
            cancelling = subprocess.Popen(command, start_new_session=True)  # a second Ctrl-C does not stop it
            with contextlib.suppress(subprocess.TimeoutExpired):
                cancelling.wait(_CANCEL_SECONDS)
        else:
            for job in self._jobs:
                job.handle.cancel(check=False)
            while not all(job.handle.done() for job in self._jobs):  # a process here ends within a second
                time.sleep(0.02)
        self._jobs.clear()
        self._session = None

    def run(self, trials: Sequence[Trial], *, progress: Callable[[int], None]) -> Iterator[Finished]:
        """Yield (trial, result) as they finish; `progress` gets the tokens trained on since its last call.

        A trial that lost its job starts again; then `progress` gets back what it had counted. An arm whose trials
        failed three times in a row gets no more of them. Raises `WorkError` when a job cannot be submitted, and when
        no trial at all succeeded.
        """
        queue = TrialQueue(trials)
        while queue or self._jobs:
            while len(self._jobs) < self.workers and (trial := queue.take()) is not None:
                self._jobs.append(_Job(trial, self._submit(trial)))
            for job in list(self._jobs):
                self._look(job, progress)
                result = self._outcome(job)
                if result is None:
                    continue
                self._jobs.remove(job)
                if "lost" in result:
                    result = queue.lost(job.trial, result["lost"], reached=job.tokens)
                elif (node := result.pop("unfit", None)) is not None:
                    self._leave_out(node, result["reason"])
                    result = queue.put_back(job.trial, result["reason"])
                if result is None:
                    progress(-job.tokens)
                    continue
                progress(job.trial.tokens - job.tokens)
                yield job.trial, result
                queue.finished(job.trial, result, log=job.handle.paths.stderr)
            time.sleep(_LOOK_EVERY)
        queue.check()

    def _submit(self, trial: Trial) -> Any:
        if self._session is None:
            self._begin()
        assert self._session is not None
        job = TrialJob(
            terms=terms(self.data, folder=self.folder),
            session=self._session,
            checkpoints=self.folder.absolute() / "checkpoints",
            checkpoint_seconds=self.checkpoint_seconds,
        )
        (self._session / f"{trial.key}.tokens").unlink(missing_ok=True)
        try:
            return self._executor.submit(job, trial.key, pack(trial))
        except Exception as error:  # submitit has its own errors for what sbatch says
            left_out = "".join(f"; the node {node} is left out: {why}" for node, why in self._unfit.items())
            raise WorkError(
                f"the job of {trial.name} could not be submitted ({_last_line(error)}{left_out}); finished trials are "
                "kept, run the same command again when that is mended"
            ) from error

    def _leave_out(self, node: str, reason: str) -> None:
        """Submit no more jobs to a node that fails every trial alike."""
        self._unfit[node] = reason
        given = [str(self.options["exclude"])] if "exclude" in self.options else []
        self._executor.update_parameters(slurm_exclude=",".join([*given, *self._unfit]))

    def _begin(self) -> None:
        """A fresh folder for the jobs of this session; those of a study that was killed lose theirs, and end."""
        import submitit

        logging.getLogger("submitit").setLevel(logging.ERROR)
        folder = self.folder.absolute() / "slurm"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self._session = Path(tempfile.mkdtemp(prefix="session-", dir=folder))
        (self._session / _ALIVE).touch()
        # In the command, because the allocator reads its settings before any Python runs.
        settings = [f"{name}={value}" for name, value in remote_environment(self.threads).items()]
        python = shlex.join(["env", *settings, sys.executable])
        self._executor = submitit.AutoExecutor(
            folder=self._session, cluster=self.cluster, **{f"{self.cluster}_python": python}
        )
        common = {"name": "paribus", "cpus_per_task": self.threads, "tasks_per_node": 1, "nodes": 1}
        ours = {"slurm_time": _TIME, "slurm_srun_args": [f"--cpus-per-task={self.threads}"]}
        given = {OPTIONS[name]: value for name, value in self.options.items()}
        try:
            self._executor.update_parameters(timeout_min=7 * 24 * 60, **common, **{**ours, **given})
        except Exception as error:
            raise RequestError(f"submitit refuses the options of these jobs: {_last_line(error)}") from error

    def _look(self, job: _Job, progress: Callable[[int], None]) -> None:
        """Take in what a job last said of how far it is."""
        assert self._session is not None
        with contextlib.suppress(OSError, ValueError):  # not there yet, or half written
            tokens = int((self._session / f"{job.trial.key}.tokens").read_text())
            if tokens != job.tokens:
                progress(tokens - job.tokens)
                job.tokens = tokens

    def _outcome(self, job: _Job) -> dict[str, Any] | None:
        """What has become of a job: its result, {"lost": why}, or None while it is under way."""
        state = self._state(job)
        if not job.handle.paths.result_pickle.exists():
            if state is None:
                return None
            job.ended = job.ended or time.monotonic()
            if self.cluster == "slurm" and time.monotonic() - job.ended < self.file_seconds:
                return None
            job.handle.cancel(check=False)  # or Slurm might start a preempted one again beside its successor
            return {"lost": f"its job {job.handle.job_id} ended without a result ({state.lower()})"}
        error = job.handle.exception()
        if error is not None:
            return {"lost": f"its job {job.handle.job_id} failed: {_last_line(error)}"}
        result: dict[str, Any] = job.handle.result()
        return result

    def _state(self, job: _Job) -> str | None:
        """How a job ended, as far as is known; None while it is under way."""
        if self.cluster == "slurm" and time.monotonic() - self._asked > _ASK_EVERY:
            self._asked = time.monotonic()
            job.handle.get_info(mode="force")  # one question for all jobs
        if not job.handle.done() and not job.handle.state.startswith("PREEMPTED"):
            return None
        return str(job.handle.state)


def _last_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]
