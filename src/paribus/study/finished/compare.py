"""Two studies side by side: in what their plans differ, and what each found of the arms that both have.

Differences in bits per byte mean the same only on the same text, against the same baseline, by the same
measure. Where one of these is not so, `comparable` is False, `because` says why, and whoever shows the two
shows them apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paribus.study.finished.archive import Study
from paribus.study.finished.records import load_plan

_FINDINGS = ("verdict", "mean", "lr", "difference", "reason")
#: Keys of a plan that are compared under a heading of their own, or say nothing of what was run.
_APART = ("data", "code", "format")


def compare(a: Study, b: Study) -> dict[str, Any]:
    """What tells two studies apart, as plain data.

    `studies`: what each is. `differs`: by heading (settings, data, code) the dotted keys with another value in
    each, `[value in a, value in b]`, None where it is absent. `arms`: for each that both have its findings in
    `a` and in `b` (None without results) and `agree`: True for one verdict, False for opposite ones, else None.
    `only`: names of arms that just one has.
    """
    because = _because(a, b)
    found = [_findings(study) for study in (a, b)]
    names = [{**dict.fromkeys(study.arms), **found[n]} for n, study in enumerate((a, b))]
    return {
        "studies": [_described(a), _described(b)],
        "comparable": not because,
        "because": because,
        "differs": _differs(a, b),
        "arms": [
            {
                "name": name,
                "a": found[0].get(name),
                "b": found[1].get(name),
                "agree": None if because else _agree(found[0].get(name), found[1].get(name)),
            }
            for name in names[0]
            if name in names[1]
        ],
        "only": [
            [name for name in names[0] if name not in names[1]],
            [name for name in names[1] if name not in names[0]],
        ],
    }


def _described(study: Study) -> dict[str, Any]:
    plan = study.results or study.plan or {}
    return {
        "name": study.name,
        "folder": str(study.folder),
        "state": study.state,
        "kind": study.kind,
        "data": dict(study.data),
        "baseline": plan.get("baseline"),
        "metric": plan.get("metric"),
        "when": study.when.isoformat(timespec="seconds"),
    }


def _because(a: Study, b: Study) -> list[str]:
    """Every reason why numbers of one study say nothing beside those of the other."""
    said = [f"{study.name} is not finished and has no verdicts" for study in (a, b) if study.results is None]
    hashes = [study.data.get("sha256") for study in (a, b)]
    if None in hashes:
        unknown = " and ".join(
            study.name for study, sha256 in zip((a, b), hashes, strict=True) if sha256 is None
        )
        said.append(f"no content hash of the text is known for {unknown}, so it may be another text")
    elif hashes[0] != hashes[1]:
        texts = " and ".join(
            f"{study.data.get('name')} ({str(study.data['sha256'])[:8]})" for study in (a, b)
        )
        said.append(f"they ran on different texts: {texts}")
    for key, what in (("metric", "measures"), ("baseline", "baselines")):
        values = [(study.results or study.plan or {}).get(key) for study in (a, b)]
        if values[0] != values[1] and None not in values:
            said.append(f"their differences are by different {what}: {values[0]} and {values[1]}")
    return said


def _findings(study: Study) -> dict[str, dict[str, Any]]:
    """What was found of each arm and control, by name."""
    results = study.results or {"arms": [], "controls": []}
    return {
        row["name"]: {key: row[key] for key in _FINDINGS}
        | ({"expected": row.get("expected"), "ok": row["ok"]} if "ok" in row else {})
        for row in [*results["arms"], *results["controls"]]
    }


def _agree(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> bool | None:
    if one is None or other is None:
        return None
    verdicts = {one["verdict"], other["verdict"]}
    if verdicts == {"better", "worse"}:
        return False
    return True if len(verdicts) == 1 else None


def _differs(a: Study, b: Study) -> dict[str, dict[str, list[Any]]]:
    plans = load_plan(a), load_plan(b)
    if plans[0] is None or plans[1] is None:  # a results.json that travelled alone says less, so both do
        one, other = (_from_results(study.results or study.plan or {}) for study in (a, b))
    else:
        one, other = (_by_heading(plan) for plan in plans if plan is not None)
    return {heading: _shortened(_difference(one[heading], other[heading])) for heading in one}


def _by_heading(plan: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    settings = {key: value for key, value in plan.items() if key not in _APART}
    settings["arms"] = {arm["name"]: _without(arm, "name") for arm in plan["arms"]}
    # Lists in the data (bytes by document) follow from the text, whose hash says it shorter.
    data = {key: value for key, value in plan["data"].items() if not isinstance(value, list)}
    return {"settings": settings, "data": data, "code": dict(plan.get("code") or {})}


def _from_results(results: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    settings = {
        key: results.get(key) for key in ("study", "kind", "baseline", "matched", "margin", "training")
    }
    environment = results.get("environment") or {}
    code = {"paribus": results.get("paribus"), "torch": environment.get("torch")}
    return {"settings": settings, "data": dict(results.get("data") or {}), "code": code}


def _without(row: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != key}


def _difference(one: Any, other: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], list[Any]]:
    """Differing leaves of nested mappings by path; arms that only one plan has are not gone into."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        found: dict[tuple[str, ...], list[Any]] = {}
        for key in [*one, *(key for key in other if key not in one)]:
            if path == ("arms",) and not (key in one and key in other):
                continue
            found |= _difference(one.get(key), other.get(key), (*path, str(key)))
        return found
    return {} if one == other else {path: [one, other]}


def _shortened(found: Mapping[tuple[str, ...], list[Any]]) -> dict[str, list[Any]]:
    """Dotted keys, each difference said once: not for every arm what all arms share, nor what the study says."""
    general = {path: values for path, values in found.items() if path[0] != "arms"}
    by_setting: dict[tuple[str, ...], dict[str, list[Any]]] = {}
    for path, values in found.items():
        if path[0] == "arms" and general.get(path[2:]) != values:
            by_setting.setdefault(path[2:], {})[path[1]] = values
    short = {".".join(path): values for path, values in general.items()}
    for setting, arms in by_setting.items():
        everywhere = list(arms.values())
        if len(everywhere) > 1 and all(values == everywhere[0] for values in everywhere):
            short[".".join(("arms", "*", *setting))] = everywhere[0]
        else:
            short |= {".".join(("arms", arm, *setting)): values for arm, values in arms.items()}
    return short
