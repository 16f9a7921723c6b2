"""The length study: how the loss of each arm goes on past the length it was trained at, on the same bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from paribus.study.engine import Ran, Results
from paribus.study.kinds.intervals import over_seeds
from paribus.study.plan import Plan

#: How much worse the loss may get before a context counts as too long.
TOLERANCE = 0.05


def length_section(
    plan: Plan, ran: Ran, results: Results, arms: Sequence[Mapping[str, Any]]
) -> dict[str, Any] | None:
    """Loss by context of every arm at its best rate, and how far it reaches; None before any trial has it.

    `reach` is the longest context up to which the mean loss stays within 5 % of that at the trained length, None
    where even the trained length was not read.
    """
    rows, shared = [], None
    for arm in arms:
        found = _found(plan, ran, results, arm)
        if not found:
            continue
        shared = shared or found[0]
        for mode_of in _ways(found):
            rows.append(_row(arm["name"], mode_of, found))
    if shared is None:
        return None
    return {
        "train_length": plan.train.seq_len,
        "contexts": sorted({context for row in rows for context in map(int, row["plain"])}),
        "scored_bytes": shared["scored_bytes"],
        "tolerance": TOLERANCE,
        "arms": rows,
    }


def _found(plan: Plan, ran: Ran, results: Results, arm: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What the probe found, seed by seed, at the arm's best rate."""
    if arm["lr"] is None:
        return []
    trials = [plan.trial(plan.arm(arm["name"]), arm["lr"], seed) for seed in ran.seeds]
    probes = [(results.get(trial.key) or {}).get("probes", {}) for trial in trials]
    return [probe["length"]["end"] for probe in probes if probe.get("length", {}).get("end")]


def _ways(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """How the arm was read past its length: as it is, and with each scaling put on for the purpose."""
    return ["", *sorted({name for each in found for name in each.get("scaled", {})})]


def _row(name: str, scaling: str, found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    read = [each["scaled"][scaling] if scaling else each for each in found]
    row: dict[str, Any] = {"name": f"{name} + {scaling}" if scaling else name, "scaling": scaling or None}
    for mode in ("plain", "window"):
        contexts = read[0].get(mode, {})
        row[mode] = {
            # A mean over the seeds that could read so far would hide those that could not.
            context: over_seeds([each[mode][context]["bpb"] for each in read])
            if all(each[mode].get(context) for each in read)
            else None
            for context in contexts
        }
    row["reach"] = {mode: _reach(row[mode], found[0]["train_length"]) for mode in ("plain", "window")}
    row["why_not"] = {
        mode: {
            context: why for each in read for context, why in each.get("why_not", {}).get(mode, {}).items()
        }
        for mode in ("plain", "window")
        if any(mode in each.get("why_not", {}) for each in read)
    }
    row["by_position"] = [] if scaling else _by_position(read)
    return row


def _reach(by_context: Mapping[str, Any], train_length: int) -> int | None:
    trained = by_context.get(str(train_length))
    if trained is None:
        return None
    reach = train_length
    for context in sorted(map(int, by_context)):
        loss = by_context[str(context)]
        if context > train_length:
            if loss is None or loss["mean"] > (1 + TOLERANCE) * trained["mean"]:
                break
            reach = context
    return reach


def _by_position(read: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    """Loss by the number of tokens read so far at the longest context, the mean over seeds."""
    curves = [
        each["by_position"]["plain"]["buckets"] for each in read if each.get("by_position", {}).get("plain")
    ]
    if not curves:
        return []
    return [
        {"position": points[0]["position"], "bpb": sum(point["bpb"] for point in points) / len(points)}
        for points in zip(*curves, strict=False)
        if all(point["bpb"] is not None and math.isfinite(point["bpb"]) for point in points)
    ]
