"""A finished study as four files: results.json, results.csv, report.md and report.html.

The one idea: the facts stand once, in `results` (the published schema of results.json), and everything
else is a view of them. This file checks, orders and formats; the sentences of the report are in
`templates/`, the figures in `plots.py`, and nothing that a verdict rests on is computed here.

What comes from data (names of arms, commands, errors) is escaped by default in both templates, and all
four files are complete before the first is written, each by an atomic replacement.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from paribus.errors import RequestError, nearest
from paribus.study import plots

Results = dict[str, Any]

_TRIAL_COLUMNS = ["arm", "seed", "lr", "status", "val_bpb", "seconds", "tokens", "tokens_per_second", "error"]
_FIRST_KEYS = ("paribus", "study", "question", "answer", "metric", "baseline", "matched", "created")
# What must be there, and of which type; all else may be missing, as it is in an unfinished study.
_REQUIRED: dict[str, dict[str, Any]] = {
    "results": {"study": str, "metric": str, "baseline": str, "arms": list, "trials": list},
    "arms": {"name": str, "verdict": str},
    "controls": {"name": str, "verdict": str},
    "trials": {"arm": str, "seed": int, "lr": (int, float), "status": str},
}
# What an answer says of one arm, and of several; in the order in which a reader wants to know.
_SAID = {
    "better": ("is better than {}", "are better than {}"),
    "worse": ("is worse than {}", "are worse than {}"),
    "same": ("is the same as {} within the margin", "are the same as {} within the margin"),
    "depends on initialisation": ("depends on the initialisation", "depend on the initialisation"),
    "cannot tell": ("cannot be told apart from {}", "cannot be told apart from {}"),
    "diverged": ("diverged", "diverged"),
}


def write_report(results: Results, out: Path) -> dict[str, Path]:
    """Write the four files into `out`, made if need be; return where each name stands.

    Numbers that JSON does not know (NaN, infinity) become null. A missing `answer` is composed.
    Raises `RequestError` when `results` lacks what the schema requires; nothing is written then.
    """
    results = _each(results, lambda x: None if isinstance(x, float) and not math.isfinite(x) else x)
    check(results)
    results["answer"] = results.get("answer") or answer(results)
    ordered = {key: results[key] for key in _FIRST_KEYS if key in results} | results
    view = _view(results)
    texts = {
        "results.json": json.dumps(ordered, indent=1, ensure_ascii=False, allow_nan=False) + "\n",
        "results.csv": _csv(results),
        "report.md": _templates(markdown=True).get_template("report.md.j2").render(view),
        "report.html": _templates().get_template("report.html.j2").render(view | _figures(view)),
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        _replace(out / name, text)
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


def answer(results: Results) -> str:
    """The result in one sentence, from the verdicts alone; says so where nothing can be told."""
    base, digits, parts = results["baseline"], _digits(results), []
    arms = [arm for arm in _ranked(results) if arm["name"] != base]
    measured = any(_difference(arm) for arm in arms)
    if not measured:
        alone = (results.get("statistics") or {}).get("seeds") == 1
        why = ", as one seed cannot show what chance alone does" if alone else ""
        parts.append(f"nothing can be said about a difference from {base}{why}")
        arms = [arm for arm in arms if arm["verdict"] == "diverged"]
    withheld = [arm for arm in arms if arm["verdict"] == "cannot tell" and arm.get("reason")]
    if withheld:
        arms = [arm for arm in arms if arm not in withheld]
        who = _several([str(arm["name"]) for arm in withheld])
        parts.append(f"no verdict is given on {who}: {withheld[0]['reason']}")
    for verdict, said in _SAID.items():
        group = [arm for arm in arms if arm["verdict"] == verdict]
        names = [_named(arm, digits, interval=len(group) <= 3) for arm in group]
        if group:
            parts.append(f"{_several(names)} {said[len(group) > 1].replace('{}', base)}")
    start = "A control failed, so do not rely on this: on" if _failed(results) else "On"
    data = (results.get("data") or {}).get("name") or "this data"
    return f"{start} {data}{' (bits per byte, lower is better)' * measured}, {'; '.join(parts)}."


def _named(arm: Results, digits: int, *, interval: bool) -> str:
    """An arm with its difference, as it stands in the answer."""
    diff = _difference(arm)
    if not diff or arm["verdict"] not in ("better", "worse"):
        return str(arm["name"])
    text = plots.signed(diff["mean"], digits)
    if interval and diff["ci95"]:
        text += ", interval {} to {}".format(*(plots.signed(end, digits) for end in diff["ci95"]))
    return f"{arm['name']} ({text})"


def _several(names: Sequence[str], limit: int = 6) -> str:
    """`a, b and c`; of a long list the first ones and how many more."""
    if len(names) > limit:
        names = [*names[: limit - 1], f"{len(names) - limit + 1} more"]
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _view(results: Results) -> Results:
    """What the templates read: the facts fit for display, in reading order, with what follows from them."""
    view = _each(results, lambda leaf: _shown(leaf) if isinstance(leaf, str) else leaf)
    view |= {key: view.get(key) or {} for key in ("data", "training", "environment", "statistics")}
    view |= {key: view.get(key) or [] for key in ("controls", "warnings", "held_equal", "not_controlled")}
    view["arms"], failed = _ranked(view), _failed(view)
    for row in view["arms"] + view["controls"]:
        row["difference"] = _difference(row)
    rates = {arm["name"]: sorted(point["lr"] for point in arm.get("by_rate") or []) for arm in view["arms"]}
    edge = [
        arm["name"]
        for arm in view["arms"]
        if arm.get("lr") in {*rates[arm["name"]][:1], *rates[arm["name"]][-1:]}
    ]
    return view | {
        "failed": failed,
        "alarms": [text for text in view["warnings"] if any(row["name"] in text for row in failed)],
        "warnings": [text for text in view["warnings"] if not any(row["name"] in text for row in failed)],
        "training": {key: fact for key, fact in view["training"].items() if not key.startswith("init")},
        "init": {key: fact for key, fact in view["training"].items() if key.startswith("init")},
        "rates_tried": sorted(set().union(*rates.values())),
        "edge": edge,
        "statuses": Counter(trial["status"] for trial in view["trials"]),
        "troubled": [trial for trial in view["trials"] if trial["status"] != "done"],
        "measured": any(_difference(arm) for arm in view["arms"]),
        "digits": _digits(view),
        "looks": plots.LOOKS,
    }


def _figures(view: Results) -> Results:
    forests = [plots.forest(view, digits=view["digits"], narrow=narrow) for narrow in (False, True)]
    figures = {"rates": plots.rates(view), "curves": plots.curves(view), "legend": plots.legend(view)}
    drawn = {kind: {name: Markup(svg) for name, svg in some.items()} for kind, some in figures.items()}
    return drawn | {"forest": [Markup(svg) for svg in forests if svg]}


def _ranked(results: Results) -> list[Results]:
    """The baseline, then the other arms from the best difference to the worst, then those without one."""
    worth = {arm["name"]: diff["mean"] for arm in results["arms"] if (diff := _difference(arm))}
    worth[results["baseline"]] = -math.inf
    return sorted(results["arms"], key=lambda arm: worth.get(arm["name"], math.inf))


def _difference(row: Results) -> Results | None:
    """The measured difference of an arm or control; an interval with an unknown end is none."""
    diff = row.get("difference") or {}
    if diff.get("mean") is None:
        return None
    return diff | {"ci95": None if None in (diff.get("ci95") or [None]) else diff["ci95"]}


def _failed(results: Results) -> list[Results]:
    return [control for control in results.get("controls") or [] if control.get("ok") is False]


def _digits(results: Results) -> int:
    """Decimals that show two digits of the usual half-width of an interval; more would be noise."""
    found = [diff["ci95"] for arm in results["arms"] if (diff := _difference(arm)) and diff["ci95"]]
    half = statistics.median((high - low) / 2 for low, high in found) if found else 0
    return min(max(1 - math.floor(math.log10(half)), 2), 6) if half > 0 else 3


def _each(value: Any, change: Callable[[Any], Any]) -> Any:
    """A copy of nested dicts and lists with every key and every leaf changed."""
    if isinstance(value, dict):
        return {change(key): _each(item, change) for key, item in value.items()}
    return [_each(item, change) for item in value] if isinstance(value, list | tuple) else change(value)


def _shown(text: str) -> str:
    """`text` without what no page can show: control characters, lone surrogates, direction overrides."""
    return re.sub("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]", "\ufffd", text)


def _csv(results: Results) -> str:
    """One row per trial: by arm as the study lists them, then rate, then seed."""
    rank = {arm["name"]: i for i, arm in enumerate([*results["arms"], *(results.get("controls") or [])])}
    trials = sorted(results["trials"], key=lambda t: (rank.get(t["arm"], len(rank)), t["lr"], t["seed"]))
    more = sorted({key for trial in trials for key in trial} - set(_TRIAL_COLUMNS))
    out = io.StringIO()
    writer = csv.DictWriter(out, [*_TRIAL_COLUMNS, *more], lineterminator="\n")
    writer.writeheader()
    writer.writerows(trials)
    return out.getvalue()


def _replace(path: Path, text: str) -> None:
    """Write `path` so that a reader sees the old file or the new one, never half of one."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        # A lone surrogate (a file name that is not UTF-8) becomes \udcxx, which JSON reads back as it was.
        draft.write_bytes(text.encode("utf-8", "backslashreplace"))
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _templates(*, markdown: bool = False) -> jinja2.Environment:
    """Both kinds of template escape every value by default: HTML as Jinja does, Markdown on output."""
    options: Results = {"finalize": _markdown} if markdown else {"autoescape": True}
    options |= {"trim_blocks": True, "lstrip_blocks": True, "undefined": jinja2.ChainableUndefined}
    env = jinja2.Environment(loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"), **options)
    env.filters |= {"several": _several, "fence": _fence, "short": plots.short, "fact": _fact}
    env.filters |= {name: _or_dash(form) for name, form in _FORMATS.items()}
    return env


def _markdown(value: Any) -> Any:
    if isinstance(value, str) and not isinstance(value, Markup):
        return re.sub(r"([\\`*_{}\[\]<>#|~&!$])", r"\\\1", re.sub(r"\s+", " ", value))
    return value


def _fence(text: str) -> Markup:
    """A Markdown code block, its fence longer than any inside."""
    ticks = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return Markup(f"{ticks}\n{text}\n{ticks}")


def _fact(value: Any) -> str:
    """An entry of `training`, `environment` or `data`, whatever its type."""
    if isinstance(value, dict):
        return ", ".join(f"{key}={_fact(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(_fact, value))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return {"True": "yes", "False": "no", "None": "—"}.get(str(value), str(value))
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _or_dash(form: Callable[..., str]) -> Callable[..., str]:
    """`form` for numbers; a dash for what was not measured."""
    return lambda x, *more: form(x, *more).replace("-", "−") if isinstance(x, int | float) else "—"


def _bytes(value: float) -> str:
    units = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (0, "bytes"))
    return next(f"{value / (size or 1):.3g} {unit}" for size, unit in units if value >= size)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return (
            f"{minutes} min {rest} s"
            if minutes and rest
            else f"{minutes} min"
            if minutes
            else f"{seconds:.3g} s"
        )
    return f"{minutes // 60} h {minutes % 60} min"


_FORMATS: dict[str, Callable[..., str]] = {
    "num": lambda value, digits=3: f"{value:,.{digits}f}",
    "signed": plots.signed,
    "whole": lambda value: f"{value:,.0f}",
    "sig": lambda value, digits=3: f"{float(f'{value:.{digits}g}'):,.10g}",
    "percent": lambda value, digits=1: f"{100 * value:.{digits}f} %",
    "pvalue": lambda value: "< 0.0001" if value < 1e-4 else f"{value:.2g}",
    "bytesize": _bytes,
    "duration": _duration,
}
