"""Tables of studies that are there already. Whatever a file says is shown as it is: no markup, no control codes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from paribus.study.finished.archive import Study

_MOST_LINES = 12  # of one heading of differences; --json has all


def studies_table(studies: Sequence[Study], root: Path) -> Table:
    """One row a study, named by its folder below `root`."""
    table = _table("study", "kind", "data", "arms", "trials", "when", "verdict")
    table.columns[-2].no_wrap = True
    for study in studies:
        table.add_row(*map(text, _cells(study, _below(study.folder, root))))
    return table


def _cells(study: Study, name: str) -> tuple[str, ...]:
    when = study.when.astimezone().strftime("%Y-%m-%d %H:%M")
    if study.state == "broken":
        return name, "", "", "", "", when, f"broken: {study.reason}"
    counts = study.counts
    trials = f"{counts['done'] + counts['diverged']}/{counts['of']}"
    if counts["failed"]:
        trials += f", {counts['failed']} failed"
    data = str(study.data.get("name") or "")
    return name, study.kind or "", data, str(len(study.arms)), trials, when, study.verdict


def _below(folder: Path, root: Path) -> str:
    inside = folder.relative_to(root)
    return folder.absolute().name if inside == Path() else str(inside)


def progress_table(study: Study) -> Table:
    """Trials by arm and status; no losses, which would look like a verdict."""
    table = _table("arm", "done", "diverged", "failed")
    for name in dict.fromkeys([*study.arms, *(row["arm"] for row in study.trials)]):
        statuses = [row["status"] for row in study.trials if row["arm"] == name]
        table.add_row(text(name), *(str(statuses.count(status)) for status in ("done", "diverged", "failed")))
    return table


def difference_table(heading: str, differs: Mapping[str, Any], names: tuple[str, str]) -> Table:
    """The settings of one heading that differ, with their value in each of two studies."""
    table = _table(heading, *names)
    for key, values in list(differs.items())[:_MOST_LINES]:
        table.add_row(text(key), *(text(_short(value)) for value in values))
    if (more := len(differs) - _MOST_LINES) > 0:
        table.add_row(text(f"and {more} more (see --json)"), "", "")
    return table


def findings_table(arms: list[dict[str, Any]], sides: Mapping[str, str]) -> Table:
    """What one study found of every arm, or two side by side: difference, interval and verdict."""
    table = _table("arm", *sides.values())
    for arm in arms:
        table.add_row(*map(text, (arm["name"], *(_found(arm[side]) for side in sides))))
    return table


def _found(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "no verdict yet"
    verdict: str = row["verdict"]
    if "ok" in row:
        verdict = {True: "control holds", False: "CONTROL FAILED", None: "not judged"}[row["ok"]]
    if (difference := row["difference"]) is None:
        return verdict
    return "{}\n{:+.3f} ({:+.3f} to {:+.3f})".format(verdict, difference["mean"], *difference["ci95"])


def _table(*headings: str) -> Table:
    table = Table()
    for heading in headings:
        table.add_column(text(heading), overflow="fold")
    return table


def text(words: str) -> Text:
    """Words as they are: no markup, and nothing that a terminal would obey."""
    return Text(printable(words))


def _short(value: Any, limit: int = 60) -> str:
    words = "—" if value is None else value if isinstance(value, str) else json.dumps(value)
    return words if len(words) <= limit else f"{words[: limit - 1]}…"


def printable(value: Any) -> Any:
    """Text, or all text in nested data, without control characters, lone surrogates and direction overrides."""
    if isinstance(value, str):
        return re.sub("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]", "\ufffd", value)
    if isinstance(value, dict):
        return {printable(key): printable(item) for key, item in value.items()}
    return [printable(item) for item in value] if isinstance(value, list) else value
