"""One trial run again, and held against what it gave: every number of a report can be asked for.

The run is found by its id in the folder of a study; its settings, its text by content hash and its threads are those
of the plan. On the machine, code and torch that made it the bits must come out again; elsewhere sums are rounded in
another order, and a stated tolerance takes their place.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paribus.errors import RequestError, WorkError
from paribus.study.finished import archive
from paribus.study.finished.reading import load_ledger
from paribus.study.finished.records import load_trials
from paribus.study.folder import LEDGER, hold
from paribus.study.launch import LocalLauncher
from paribus.study.launchers.remote import open_dataset
from paribus.study.plan import Plan, Trial
from paribus.study.planning import code_versions
from paribus.text.data import Dataset

#: Bits per byte within which a run elsewhere counts as the same.
TOLERANCE = 0.01


@dataclass(frozen=True, kw_only=True)
class Run:
    """A finished run: the study it stands in, its plan, its settings and what it gave."""

    folder: Path
    plan: Plan
    trial: Trial
    result: Mapping[str, Any]

    @property
    def id(self) -> str:
        return self.plan.run_id(self.trial)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The run as it was and as it came out again, in bits per byte; `same` is bit for bit, curve and documents too.

    `diverged` is whether it did so both times. `elsewhere` names what differs between then and now: the machine, the
    code, torch. `holds` is whether it came out as it must: the same bits where nothing differs, else within
    `TOLERANCE`, or diverged again.
    """

    run_id: str
    trial: str
    then: float | None
    now: float | None
    same: bool
    diverged: bool
    elsewhere: tuple[str, ...]

    @property
    def holds(self) -> bool:
        if self.same or not self.elsewhere:
            return self.same
        if self.diverged:
            return True
        return self.then is not None and self.now is not None and abs(self.then - self.now) <= TOLERANCE

    def to_dict(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "tolerance": TOLERANCE, "holds": self.holds}


def find_run(run_id: str, root: Path) -> Run:
    """The run of this id, or of the only one that begins so, in any study at or below `root`.

    Raises `RequestError` for no run, for several, and for runs of a study around a command.
    """
    found = []
    for study in archive.find(root):
        if study.state == "broken":
            continue
        try:
            rows = load_trials(study, need_results=True)
        except RequestError:  # its ledger is gone; the report alone cannot be run again
            continue
        found += [
            (study, row)
            for row in rows
            if str(row.get("run_id", "")).startswith(run_id)
            and row.get("result")
            and row["status"] != "failed"
        ]
    ids = {row["run_id"] for _, row in found}
    if len(ids) != 1:
        many = f"{len(ids)} runs in {root} begin with {run_id!r}; give more of it" if ids else ""
        raise RequestError(
            many
            or f"no finished run in {root} has the id {run_id!r}; results.csv of a study lists them as run_id"
        )
    study, row = found[0]
    raw = load_ledger(study.folder / LEDGER).plan
    if "words" in raw:
        raise RequestError(f"the run {run_id} is of a program of your own; run its command again instead")
    plan = Plan.from_dict(raw)
    for arm in plan.arms:
        for scheme in plan.schemes:
            trial = plan.trial(arm, row["lr"], row["seed"], scheme)
            if trial.key == row["key"]:
                return Run(folder=study.folder, plan=plan, trial=trial, result=row["result"])
    raise RequestError(
        f"the plan in {study.folder} has no trial that is run {run_id}; it was changed by hand"
    )


def reproduce(run: Run, *, progress: Callable[[int], None] = lambda tokens: None) -> Comparison:
    """Run the trial again on this machine and compare; raises `WorkError` when it fails or its text is not here."""
    data: Dataset = open_dataset(run.plan.data)
    with (
        tempfile.TemporaryDirectory(prefix="paribus-reproduce-") as folder,
        hold(Path(folder)) as lock,
        LocalLauncher(
            workers=1, threads=run.plan.threads, data=data.folder, folder=Path(folder), lock=lock
        ) as launcher,
    ):
        _, again = next(iter(launcher.run([run.trial], progress=progress)))
    if again["status"] == "failed":
        raise WorkError(f"the run failed: {again['reason']}")
    again = json.loads(json.dumps(again), parse_constant=lambda _: None)  # as it is read from a ledger
    compared = ("status", "val_bpb", "heldout_nats")
    same = all(again.get(key) == run.result.get(key) for key in compared)
    same = same and again["curve"]["train_bpb"] == run.result["curve"]["train_bpb"]
    return Comparison(
        run_id=run.id,
        trial=run.trial.name,
        then=run.result.get("val_bpb"),
        now=again.get("val_bpb"),
        same=same,
        diverged=again["status"] == run.result["status"] == "diverged",
        elsewhere=_elsewhere(run, again),
    )


def _elsewhere(run: Run, again: Mapping[str, Any]) -> tuple[str, ...]:
    """What is not as it was when the run was made, which may have been on another machine than the rest of its study."""
    then, now = run.result.get("as_run") or {}, again["as_run"]
    machine = ["machine"] if then.get("device_name") != now["device_name"] else []
    values = [value for arm in run.plan.arms for value in arm.overrides.values()]
    try:
        versions = code_versions(values)
    except OSError:
        return (*machine, "the user's own part, which is gone")
    code = [key for key, version in run.plan.code.items() if versions.get(key) != version]
    return tuple(dict.fromkeys([*machine, *code]))
