"""A finished study as four files: results.json, results.csv, report.md and report.html.

The one idea: the facts stand once, in `results` (the published schema of results.json), and everything
else is a view of them. This file checks and writes; the sentences of the report are in `templates/`, what
they read in `view.py`, the figures in `plots/`, and nothing that a verdict rests on is computed here.

What comes from data (names of arms, commands, errors) is escaped by default in both templates, and all
four files are complete before the first is written, each by an atomic replacement.
"""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

from paribus.errors import RequestError, nearest
from paribus.files.appearing import write_whole
from paribus.study.pages import plots
from paribus.study.pages.answer import answer
from paribus.study.pages.facts import Results, each
from paribus.study.pages.templating import templates
from paribus.study.pages.view import figures, view

__all__ = ["answer", "check", "write_report"]

_TRIAL_COLUMNS = ["arm", "seed", "lr", "status", "val_bpb", "seconds", "tokens", "tokens_per_second", "error"]
_FIRST_KEYS = ("paribus", "study", "kind", "question", "answer", "metric", "baseline", "matched", "created")
# What must be there, and of which type; all else may be missing, as it is in an unfinished study.
_REQUIRED: dict[str, dict[str, Any]] = {
    "results": {"study": str, "metric": str, "baseline": str, "arms": list, "trials": list},
    "arms": {"name": str, "verdict": str},
    "controls": {"name": str, "verdict": str},
    "trials": {"arm": str, "seed": int, "lr": (int, float), "status": str},
}


def write_report(results: Results, out: Path) -> dict[str, Path]:
    """Write the four files into `out`, made if need be; return where each name stands.

    Numbers that JSON does not know (NaN, infinity) become null. A missing `answer` is composed.
    Raises `RequestError` when `results` lacks what the schema requires; nothing is written then.
    """
    results = each(results, lambda x: None if isinstance(x, float) and not math.isfinite(x) else x)
    check(results)
    results["answer"] = results.get("answer") or answer(results)
    ordered = {key: results[key] for key in _FIRST_KEYS if key in results} | results
    shown = view(results)
    texts = {
        "results.json": json.dumps(ordered, indent=1, ensure_ascii=False, allow_nan=False) + "\n",
        "results.csv": _csv(results),
        "report.md": templates(markdown=True).get_template("report.md.j2").render(shown),
        "report.html": templates().get_template("report.html.j2").render(shown | figures(shown)),
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        # A lone surrogate (a file name that is not UTF-8) becomes \udcxx, which JSON reads back as it was.
        write_whole(out / name, text.encode("utf-8", "backslashreplace"))
    return {name: out / name for name in texts}


def check(results: Results) -> None:
    """Raise `RequestError`, in one sentence, unless `results` has the shape of a study's results.json."""
    places = [("results", "results", results)]
    for kind in ("arms", "controls", "trials"):
        places += [(kind, f"results[{kind!r}][{i}]", item) for i, item in enumerate(results.get(kind) or [])]
    for kind, place, item in places:
        for key, wanted in _REQUIRED[kind].items():
            if not isinstance(item.get(key), wanted):
                name = getattr(wanted, "__name__", "number")
                raise RequestError(f"{place} needs {key!r} of type {name}; it has {item.get(key)!r}.")
        verdict = item.get("verdict", "baseline")
        if verdict not in plots.LOOKS:
            raise RequestError(f"{place} has the verdict {verdict!r}; {nearest(verdict, plots.LOOKS)}")
    names = [arm["name"] for arm in results["arms"]]
    if twice := {name for name in names if names.count(name) > 1}:
        raise RequestError(f"two arms are named {min(twice)!r}; a name stands for one arm.")
    if results["baseline"] not in names:
        raise RequestError(
            f"baseline {results['baseline']!r} is no arm; {nearest(results['baseline'], names)}"
        )


def _csv(results: Results) -> str:
    """One row per trial: by arm as the study lists them, then rate, then seed; what is no single value stays out."""
    rank = {arm["name"]: i for i, arm in enumerate([*results["arms"], *(results.get("controls") or [])])}
    trials = sorted(results["trials"], key=lambda t: (rank.get(t["arm"], len(rank)), t["lr"], t["seed"]))
    found = {key for trial in trials for key in trial} - set(_TRIAL_COLUMNS)
    nested = {key for trial in trials for key, item in trial.items() if isinstance(item, dict | list)}
    out = io.StringIO()
    columns = [*_TRIAL_COLUMNS, *sorted(found - nested)]
    writer = csv.DictWriter(out, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(trials)
    return out.getvalue()
