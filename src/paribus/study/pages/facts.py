"""What every view of a finished study reads off its results.json: order, differences, how many digits count.

Nothing is measured or judged here; `results` holds the schema, and a key that a study lacks is an empty one.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from typing import Any

Results = dict[str, Any]


def ranked(results: Results) -> list[Results]:
    """The baseline, then the other arms from the best difference to the worst, then those without one."""
    worth = {arm["name"]: found["mean"] for arm in results["arms"] if (found := difference(arm))}
    worth[results.get("baseline")] = -math.inf
    return sorted(results["arms"], key=lambda arm: worth.get(arm["name"], math.inf))


def difference(row: Results) -> Results | None:
    """The measured difference of an arm or control; an interval with an unknown end is none."""
    found = row.get("difference") or {}
    if found.get("mean") is None:
        return None
    known = {key: None if None in (found.get(key) or [None]) else found[key] for key in ("ci95", "ci90")}
    return found | known


def failed_controls(results: Results) -> list[Results]:
    return [control for control in results.get("controls") or [] if control.get("ok") is False]


def digits(results: Results) -> int:
    """Decimals that show two digits of the usual half-width of an interval; more would be noise."""
    found = [diff["ci95"] for arm in results["arms"] if (diff := difference(arm)) and diff["ci95"]]
    half = statistics.median((high - low) / 2 for low, high in found) if found else 0
    return min(max(1 - math.floor(math.log10(half)), 2), 6) if half > 0 else 3


def unit(results: Results) -> str:
    """What losses and differences are counted in; a study around a command has a metric of its own."""
    metric = results.get("metric") or "val_bpb"
    return "bits per byte" if metric == "val_bpb" else str(metric)


def each(value: Any, change: Callable[[Any], Any]) -> Any:
    """A copy of nested dicts and lists with every key and every leaf changed."""
    if isinstance(value, dict):
        return {change(key): each(item, change) for key, item in value.items()}
    return [each(item, change) for item in value] if isinstance(value, list | tuple) else change(value)
