"""Plan and trials of a study, from whichever of its files has them: results.json, plan.json or the ledger.

results.json is made to be read and leaves out what a report does not show; the ledger has every trial whole.
Here the two are joined, trial by trial.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paribus.errors import RequestError
from paribus.study.finished.archive import PLAN, Study
from paribus.study.finished.reading import load_json, load_ledger
from paribus.study.finished.shape import check_plan
from paribus.study.folder import LEDGER
from paribus.study.naming import run_id


def load_plan(study: Study) -> Mapping[str, Any] | None:
    """The plan of a study, from wherever it can be read; None where it cannot."""
    if study.plan is not None:
        return study.plan
    for load in (lambda: load_json(study.folder / PLAN), lambda: load_ledger(study.folder / LEDGER).plan):
        try:
            return check_plan(load())
        except RequestError:  # also when there is none: a results.json may travel alone
            continue
    return None


def load_trials(study: Study, *, need_results: bool = False) -> list[dict[str, Any]]:
    """The study's trials, each with its whole `result` and its `run_id` where the ledger has them.

    Finished trials that results.json does not know (the study went on since) come last. Raises
    `RequestError` when the ledger cannot be read, and its results are needed or all there is; a ladder has none.
    """
    if need_results and study.kind == "ladder":
        raise RequestError(
            f"the ladder in {study.folder} has a table of trials and nothing else; curves and runs are those of "
            f"one of its sizes{_sizes(study.folder)}"
        )
    plan = load_plan(study) or {}
    try:
        held = load_ledger(study.folder / LEDGER, results=True).trials
    except RequestError as error:
        if need_results or study.results is None:
            raise RequestError(f"the study in {study.folder}: {error}") from error
        held = ()
    text = plan.get("data") or {}
    ran: dict[str, Any] = {
        "data": text if "words" in plan else text.get("sha256"),  # of a command's text nobody knows the hash
        "threads": plan.get("threads"),
        "code": plan.get("code"),
    }
    finished = [{**row, "run_id": run_id(row["key"], **ran)} for row in held]
    if study.results is None:
        return finished
    by_place: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in finished:
        by_place.setdefault((row["arm"], row["lr"], row["seed"]), []).append(row)
    joined, known = [], set()
    for row in study.results["trials"]:
        found = by_place.get((row["arm"], row["lr"], row["seed"]), [])
        if len(found) > 1:  # one for each initial scheme
            found = [other for other in found if other["run_id"] == row.get("run_id")]
        known |= {other["key"] for other in found}
        joined.append({**(found[0] if found else {}), **row})
    return joined + [row for row in finished if row["key"] not in known]


def _sizes(folder: Path) -> str:
    """The studies of a ladder that stand in its folder, as the end of a sentence."""
    found = sorted(str(path.parent) for path in folder.glob(f"*/{LEDGER}"))
    return f": {' or '.join(found)}" if found else ", whose folders are not there"
