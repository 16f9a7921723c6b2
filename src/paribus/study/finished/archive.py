"""Studies as they lie on a disk: found, named and read, finished or not, without ever changing them.

The one idea: a folder is somebody else's. It may be running, copied, cut off, on a read-only disk or no study
at all, so nothing here writes into it, `read` never raises for what it finds there, and every reason is one
sentence. What the files say is judged by `shape.py`; what to make of it is the business of the callers.
"""

from __future__ import annotations

import datetime
import fcntl
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paribus.errors import RequestError, nearest
from paribus.study.finished.reading import LedgerContents, load_json, load_ledger
from paribus.study.finished.shape import check_plan, check_results
from paribus.study.folder import LEDGER

RESULTS, PLAN = "results.json", "plan.json"

_MARKS = (RESULTS, LEDGER, PLAN)  # a folder with one of these is a study
_NO_STUDIES = ("checkpoints", "logs", "wandb", "tensorboard")  # folders of a study, never studies
_FIRST = ("better", "worse", "same", "depends on initialisation", "diverged", "cannot tell")


@dataclass(frozen=True, kw_only=True)
class Study:
    """One study folder as it was when it was read.

    `state` is `finished` (it has results), `running`, `stopped` or `broken`, and then `reason` says why.
    `results` is the checked results.json, `ledger` what the ledger holds, where they were read.
    """

    folder: Path
    state: str
    when: datetime.datetime  # UTC: when it began, or last did anything
    results: Mapping[str, Any] | None = None
    plan: Mapping[str, Any] | None = None
    ledger: LedgerContents | None = None
    reason: str | None = None

    @property
    def name(self) -> str:
        return self.folder.absolute().name or str(self.folder.absolute())

    @property
    def slot(self) -> str | None:
        plan = self.plan or {}
        return self.results["study"] if self.results else plan.get("study") or plan.get("slot")

    @property
    def kind(self) -> str | None:
        """What was asked: the compared slot for a plain comparison, else position, depth, ..."""
        kind = (self.results or self.plan or {}).get("kind")
        return self.slot if kind in (None, "compare") else str(kind)

    @property
    def data(self) -> Mapping[str, Any]:
        """Name and content hash of the text, and how much of it there is; empty where unknown."""
        return (self.results or self.plan or {}).get("data") or {}

    @property
    def arms(self) -> tuple[str, ...]:
        """Names of what is compared, controls left out."""
        if self.results:
            return tuple(arm["name"] for arm in self.results["arms"])
        return tuple(arm["name"] for arm in (self.plan or {}).get("arms", ()) if not arm.get("control"))

    @property
    def trials(self) -> Sequence[Mapping[str, Any]]:
        """One row a trial, with at least arm, seed, lr and status: those of the results, or finished ones."""
        if self.results:
            rows: Sequence[Mapping[str, Any]] = self.results["trials"]
            return rows
        return self.ledger.trials if self.ledger else ()

    @property
    def counts(self) -> dict[str, int]:
        """Trials by status, and `of`: how many the study will have as far as its plan says."""
        found = Counter(row["status"] for row in self.trials)
        planned = len(self.trials) if self.results else _planned(self.plan or {}, self.trials)
        return {status: found[status] for status in ("done", "diverged", "failed")} | {"of": planned}

    @property
    def verdict(self) -> str:
        """The result in a line: failed controls, then arms by verdict; the state where there is none."""
        if self.results is None:
            return self.reason or {"stopped": "stopped; its command goes on from here"}.get(
                self.state, self.state
            )
        if self.kind == "depth":  # such a study gives none
            return str(self.results["answer"])
        failed = [row["name"] for row in self.results["controls"] if row.get("ok") is False]
        said = [f"CONTROL FAILED: {_names(failed)}"] if failed else []
        for verdict in _FIRST:
            if names := [arm["name"] for arm in self.results["arms"] if arm["verdict"] == verdict]:
                said.append(f"{verdict}: {_names(names)}")
        return "; ".join(said) or "one arm only"

    @property
    def command(self) -> str | None:
        """The command line that began the study or last went on with it."""
        given = self.results.get("command") if self.results else None
        last = self.ledger.sessions[-1] if self.ledger and self.ledger.sessions else {}
        return given or last.get("command")


def _names(names: Sequence[str], limit: int = 4) -> str:
    more = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {more} more" if more > 0 else "")


def _planned(plan: Mapping[str, Any], trials: Sequence[Mapping[str, Any]]) -> int:
    """Trials of the plan's whole grid, grown as far as the finished trials show that it grew."""
    axes: list[set[Any]] = [{arm["name"] for arm in plan.get("arms", ())}]
    axes += [{*(plan.get(axis) or ()), *(row[key] for row in trials)} for axis, key in _AXES]
    product = max(len(plan.get("schemes") or ()), 1)
    for axis in axes:
        product *= len(axis)
    return max(product, len(trials))


_AXES = (("rates", "lr"), ("seeds", "seed"))


def find(root: Path) -> list[Study]:
    """Every study in or below `root`, in order of time; studies inside a study's folder count as well.

    Links are followed, each folder once. Raises `RequestError` when `root` is no folder that can be read.
    """
    if not os.path.isdir(
        root
    ):  # unlike Path's, these never raise: not for a circle of links, nor a locked door
        what = "is a file" if os.path.exists(root) else "does not exist"
        raise RequestError(f"{root} {what}; give a folder with studies below it")
    studies = [read(folder) for folder in _folders(root)]
    return sorted(studies, key=lambda study: (study.when, str(study.folder)))


def _folders(root: Path) -> Iterator[Path]:
    seen: set[tuple[int, int]] = set()
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            inside = sorted(os.scandir(folder), key=lambda item: item.name)
        except OSError as error:
            if folder == root:
                raise RequestError(f"{root} cannot be read: {error.strerror}") from error
            yield folder  # `read` will say why
            continue
        if any(item.name in _MARKS for item in inside):
            yield folder
        waiting += [Path(item) for item in inside if _may_hold_studies(item)]


def _may_hold_studies(item: os.DirEntry[str]) -> bool:
    try:
        return item.name not in _NO_STUDIES and not item.name.startswith(".") and item.is_dir()
    except OSError:  # a link that leads nowhere or in a circle
        return False


def read(folder: Path) -> Study:
    """What stands in one study folder; what is wrong with it becomes its `reason`."""
    try:
        inside = set(os.listdir(folder))
    except OSError as error:
        return Study(
            folder=folder, state="broken", reason=f"cannot be read: {error.strerror}", when=_time(folder)
        )
    plan = ledger = None
    try:
        if RESULTS in inside:
            results = check_results(load_json(folder / RESULTS))
            when = _moment(results.get("created")) or _time(folder / RESULTS)
            return Study(folder=folder, state="finished", results=results, when=when)
        if LEDGER in inside:
            ledger = load_ledger(folder / LEDGER)
            plan = check_plan(ledger.plan)
        elif PLAN in inside:
            plan = check_plan(load_json(folder / PLAN))
        else:
            raise RequestError(f"holds no study (none of {', '.join(_MARKS)})")
    except RequestError as error:
        again = "; its command writes it anew" if RESULTS in inside and LEDGER in inside else ""
        return Study(folder=folder, state="broken", reason=f"{error}{again}", when=_time(folder))
    finished = [_moment(row["finished"]) for row in ledger.trials] if ledger else []
    last = max((moment for moment in finished if moment), default=_time(folder))
    state = "running" if _is_held(folder) else "stopped"
    return Study(folder=folder, state=state, plan=plan, ledger=ledger, when=last)


def _is_held(folder: Path) -> bool:
    """Whether a process works on the study; a shared lock, taken and let go, is all the asking there is."""
    try:
        descriptor = os.open(folder / "study.lock", os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks
        return False
    finally:
        os.close(descriptor)
    return False


def _moment(text: Any) -> datetime.datetime | None:
    """A time as results or ledger write it; without a zone it is UTC, as SQLite's clock is."""
    try:
        moment = datetime.datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=moment.tzinfo or datetime.UTC).astimezone(datetime.UTC)
    except (TypeError, ValueError, OverflowError):
        return None
    return moment


def _time(path: Path) -> datetime.datetime:
    try:
        return datetime.datetime.fromtimestamp(path.stat().st_mtime, datetime.UTC)
    except (OSError, OverflowError, ValueError):
        return datetime.datetime.fromtimestamp(0, datetime.UTC)


def open_study(given: str, *, runs: Path) -> Study:
    """The study that a user names by a path, or by the name of its folder below `runs` or the start of it.

    Raises `RequestError` when there is none, or several, or it cannot be read.
    """
    study = read(_locate(given, runs))
    if study.state == "broken":
        raise RequestError(f"the study in {study.folder} cannot be used: {study.reason}")
    return study


def _locate(given: str, runs: Path) -> Path:
    path = Path(given)
    if os.path.isdir(path) and any(os.path.lexists(path / mark) for mark in _MARKS):
        return path
    if os.path.isfile(path) and path.name in (*_MARKS, "report.html", "report.md", "results.csv"):
        return path.parent
    folders = sorted(_folders(runs)) if os.path.isdir(runs) else []
    names = {str(folder.relative_to(runs)): folder for folder in folders}
    named = [folder for name, folder in names.items() if given in (name, folder.name)]
    begun = [folder for name, folder in names.items() if name.startswith(given)]
    found = named or [folder for folder in begun if not {*folder.parents} & {*begun}]
    if len(found) == 1:
        return found[0]
    if found:
        several = _names([str(folder.relative_to(runs)) for folder in found])
        raise RequestError(f"{given!r} begins the names of {len(found)} studies ({several}); give more of it")
    if os.path.exists(path):
        inside = sorted(mark.parent.name for name in _MARKS for mark in path.glob(f"*/{name}"))
        below = f"; inside it are {_names(list(dict.fromkeys(inside)))}" if inside else ""
        raise RequestError(f"{given} holds no study (none of {', '.join(_MARKS)}){below}")
    if not names:
        raise RequestError(f"there is no study {given!r}: neither a folder of that name nor one in {runs}")
    raise RequestError(f"there is no study {given!r} in {runs}; {nearest(given, names)}")
