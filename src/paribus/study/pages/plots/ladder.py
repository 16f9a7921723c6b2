"""A ladder of sizes: whether the difference from the baseline lasts as the models grow."""

from __future__ import annotations

import math
import statistics
from typing import Any

from paribus.study.pages.plots.canvas import COLOURS
from paribus.study.pages.plots.chart import Axis, Guide, Point, Series, Spec, together
from paribus.study.pages.plots.marks import Row

_MEASURED: dict[str, Any] = {"color": COLOURS["blue"], "marker": "o", "markersize": 5, "linestyle": "none"}
_TREND: dict[str, Any] = {"color": COLOURS["ink"], "linewidth": 1.6, "linestyle": (0, (4, 2))}


def ladder(results: Row) -> dict[str, str]:
    """A panel to an arm: its difference at every size with its interval, and the line of its trend."""
    found = results.get("ladder") or {}
    sizes = sorted(found.get("sizes") or [], key=lambda size: size["params"])
    slopes = {row["arm"]: row.get("slope") for row in found.get("trends") or []}
    series = []
    for name in dict.fromkeys(name for size in sizes for name in size.get("arms") or {}):
        if name == results.get("baseline"):
            continue
        known = [(size["params"], size["arms"].get(name) or {}) for size in sizes]
        points = [
            Point(params, at["mean"], at.get("ci95"), f", {at.get('verdict', 'no verdict')},")
            for params, at in known
            if at.get("mean") is not None
        ]
        if points and slopes.get(name) is not None:
            series.append(Series(name=name, points=_trend(points, slopes[name]), style=_TREND, quiet=True))
        series.append(Series(name=name, points=points, style=_MEASURED))
    x = Axis(label="parameters", log=10, ticks=[size["params"] for size in sizes])
    spec = Spec(
        name="ladder",
        title=f"difference from {results.get('baseline')} against size",
        x=x,
        y=Axis(),
        guides=(Guide(at=0, text=""),),
    )
    return together(series, spec, alone=True)


def _trend(points: list[Point], slope: float) -> list[Point]:
    """The line of that slope per doubling through the middle of the points, where least squares would put it."""
    middle = statistics.fmean(math.log2(point.x) for point in points)
    height = statistics.fmean(point.y for point in points)
    ends = (min(point.x for point in points), max(point.x for point in points))
    return [Point(x, height + slope * (math.log2(x) - middle)) for x in ends]
