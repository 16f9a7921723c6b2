"""A study's trials in the tools people already watch: TensorBoard files, or Weights & Biases runs.

One run a trial, grouped by arm: its settings, its curve over tokens, its final scalars. The ledger stays the
only truth: a mirror copies, is never read back, and one that fails falls silent instead of stopping the study.
Weights & Biases stays offline (`wandb sync` uploads) unless the user's own WANDB_MODE says otherwise.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from paribus.errors import RequestError, WorkError, nearest
from paribus.study.finished.archive import Study
from paribus.study.finished.export import flat, points
from paribus.study.finished.records import load_plan, load_trials
from paribus.study.naming import trial_name

if TYPE_CHECKING:
    from paribus.study.engine import Listener

_RESULT_NOT_METRIC = ("curve", "status", "reason")  # of a trial's result


@dataclass(frozen=True, kw_only=True)
class Run:
    """One trial as a mirror shows it: who it is, what it was set to, what came out."""

    id: str
    name: str
    group: str
    settings: Mapping[str, str | int | float]
    result: Mapping[str, Any]

    @property
    def metrics(self) -> dict[str, float]:
        """The final numbers of the result."""
        found = {key: item for key, item in self.result.items() if key not in _RESULT_NOT_METRIC}
        return {key: float(item) for key, item in flat(found) if isinstance(item, int | float)}

    @property
    def status(self) -> str:
        return str(self.result.get("status"))


class Mirror(Protocol):
    """Where runs are shown. `write` takes a finished run; `close` ends everything."""

    def write(self, run: Run) -> None: ...

    def close(self) -> None: ...


class TensorBoardMirror:
    """One event file a trial, in `folder`/tensorboard/ARM/TRIAL; a trial written again replaces its file."""

    def __init__(self, folder: Path, *, study: str) -> None:
        _require("tensorboard", package="tensorboard")
        self.folder = folder / "tensorboard"

    def write(self, run: Run) -> None:
        from torch.utils.tensorboard import SummaryWriter
        from torch.utils.tensorboard.summary import hparams

        folder = self.folder / _file_name(run.group) / _file_name(f"{run.name} {run.id[:6]}")
        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
        curve = points(run.result)
        ended = time.time()
        last = curve[-1].get("seconds") or 0.0 if curve else 0.0
        with SummaryWriter(log_dir=str(folder)) as writer:
            file_writer = writer._get_file_writer()
            for summary in hparams(dict(run.settings), run.metrics):
                file_writer.add_summary(summary)
            for number, point in enumerate(curve):
                # Points stand when they were reached, so that the axis of relative time is that of training.
                when = ended - last + (point.get("seconds") or 0.0)
                step = int(point.get("tokens") or number)
                for name, value in point.items():
                    if name not in ("tokens", "seconds") and value is not None:
                        writer.add_scalar(f"curve/{name}", value, step, walltime=when)
            for name, value in run.metrics.items():
                writer.add_scalar(name, value, int(run.metrics.get("tokens", 0)))
            writer.add_text("status", ": ".join(filter(None, (run.status, run.result.get("reason")))))

    def close(self) -> None:
        """Nothing is open between trials."""


class WandbMirror:
    """One run a trial in project `paribus`, group STUDY/ARM, in `folder`/wandb; offline unless WANDB_MODE is set."""

    def __init__(self, folder: Path, *, study: str) -> None:
        self.mode = os.environ.get("WANDB_MODE", "offline")
        if self.mode == "offline":  # nothing at all leaves the machine, its error reports neither
            os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        self._wandb = _require("wandb", package="wandb")
        self.folder, self.study = folder, study

    def write(self, run: Run) -> None:
        wandb = self._wandb
        self.folder.mkdir(parents=True, exist_ok=True)
        quiet = {"silent": True, "console": "off"}
        # The trial and nothing else: not the repository it ran in, nor the machine, nor what is installed.
        alone = {"disable_git": True, "save_code": False, "x_save_requirements": False}
        alone |= {"x_disable_stats": True, "x_disable_meta": True}
        live = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "paribus"),
            dir=str(self.folder),
            mode=self.mode,
            id=run.id,
            name=run.name,
            group=f"{self.study}/{run.group}"[:128],
            config=dict(run.settings),
            settings=wandb.Settings(**quiet, **alone),
        )
        live.define_metric("*", step_metric="tokens")
        for number, point in enumerate(points(run.result)):
            live.log({name: value for name, value in point.items() if value is not None}, step=number)
        live.summary.update(run.metrics | {"status": run.status, "reason": run.result.get("reason")})
        live.finish(exit_code=0 if run.status == "done" else 1)

    def close(self) -> None:
        self._wandb.teardown()


#: Mirrors by the name that `--mirror` and `--to` take.
BACKENDS: dict[str, Callable[..., Mirror]] = {"tensorboard": TensorBoardMirror, "wandb": WandbMirror}


class Guarded:
    """A mirror for a study that runs: `trial` shows a finished trial; after a failure it says so once and rests."""

    def __init__(self, mirror: Mirror, *, study: str, say: Callable[[str], None]) -> None:
        self._mirror: Mirror | None = mirror
        self._study, self._say = study, say

    def trial(self, plan: Any, trial: Any, result: Mapping[str, Any]) -> None:
        """Show one finished trial of our own or of a command's study; never raises."""
        self._try(lambda mirror: mirror.write(run_of(plan, trial, result)))

    def close(self) -> None:
        """End the mirror; never raises."""
        self._try(lambda mirror: mirror.close())
        self._mirror = None

    def _try(self, act: Callable[[Mirror], None]) -> None:
        if self._mirror is None:
            return
        try:
            act(self._mirror)
        except Exception as error:  # noqa: BLE001 - whatever another's package raises must not cost a study
            self._mirror = None
            reason = (str(error).strip().splitlines() or [""])[0]
            self._say(
                f"the mirror failed and is left out from here ({type(error).__name__}: {reason}); the study goes "
                f"on, and `paribus study export {self._study} --to ... --out DIR` can write the mirror afterwards"
            )


def open_mirror(backend: str, folder: Path, *, study: str) -> Mirror:
    """The mirror of a backend, writing into `folder`.

    Raises `RequestError` for an unknown backend, or one whose package is not installed, before any work.
    """
    if backend not in BACKENDS:
        raise RequestError(f"there is no mirror {backend!r}; {nearest(backend, BACKENDS)}")
    return BACKENDS[backend](folder, study=study)


def run_of(plan: Any, trial: Any, result: Mapping[str, Any]) -> Run:
    """A run from a plan, a finished trial of it and its result."""
    settings = dataclasses.asdict(trial)
    settings.pop("probes", None)
    run_id = plan.run_id(trial) if hasattr(plan, "run_id") else trial.key[:16]
    return Run(id=run_id, name=trial.name, group=trial.arm, settings=_settings(settings), result=result)


def listen(listener: Listener, mirror: Guarded, *, plan: Any) -> Listener:
    """A listener that hears what `listener` does and shows every finished trial in the mirror as well."""

    def finished(trial: Any, result: Mapping[str, Any]) -> None:
        listener.finished(trial, result)
        mirror.trial(plan, trial, result)

    return dataclasses.replace(listener, finished=finished)


def replay(study: Study, mirror: Mirror) -> int:
    """Show every finished trial of a study that was run before; returns how many.

    Raises `RequestError` when its ledger cannot be read or has none, `WorkError` when the mirror fails.
    """
    plan = load_plan(study) or {}
    arms = {arm["name"]: arm for arm in plan.get("arms", ())}
    rows = [row for row in load_trials(study, need_results=True) if row.get("result")]
    if not rows:
        raise RequestError(f"the study {study.name} has no finished trial yet, so there is nothing to export")
    for row in rows:
        run = _stored_run(row, arm=arms.get(row["arm"], {}), plan=plan)
        try:
            mirror.write(run)
        except Exception as error:
            reason = (str(error).strip().splitlines() or [""])[0]
            raise WorkError(f"the mirror failed at {run.name}: {type(error).__name__}: {reason}") from error
    return len(rows)


def _stored_run(row: Mapping[str, Any], *, arm: Mapping[str, Any], plan: Mapping[str, Any]) -> Run:
    """A run from a row of `load_trials` and its arm in the stored plan, named and set as `run_of` has it."""
    train = {**(arm.get("train") or plan.get("train") or {})}
    if row.get("scheme"):
        train["init_scheme"] = row["scheme"]
    place = {"arm": row["arm"], "rate": row["lr"], "seed": row["seed"]}
    known = {"model": arm.get("model") or {}, "train": train, "values": arm.get("values") or {}}
    return Run(
        id=row["run_id"],
        name=trial_name(row["arm"], row["lr"], row["seed"]),
        group=row["arm"],
        settings=_settings(place | known),
        result=row["result"] | {"status": row["status"]},
    )


def _settings(nested: Mapping[str, Any]) -> dict[str, str | int | float]:
    return {key: value for key, value in flat(nested) if value is not None}


def _require(module: str, *, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise RequestError(
            f"the mirror {package} needs a package that is not installed; install it with: "
            f"pip install 'paribus[{package}]'"
        ) from error


def _file_name(text: str) -> str:
    """A name that is one folder anywhere: an arm may be named `my_file.py:Part` or `../x`."""
    return re.sub(r"[^\w.+=-]+", "-", text).strip(".-")[:100] or "run"
