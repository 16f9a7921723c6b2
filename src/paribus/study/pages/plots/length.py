"""Context length: how the loss grows past the length that was trained, and where in the context it falls."""

from __future__ import annotations

import math
import statistics
from typing import Any

from paribus.study.pages.plots.chart import Axis, Guide, Point, Series, Spec, styles, together
from paribus.study.pages.plots.curves import swatches
from paribus.study.pages.plots.marks import LEGIBLE, Row, marker_styles

_TOP = 60.0  # per cent; what is worse is marked at the edge


def length(results: Row) -> dict[str, dict[str, str]]:
    """`relative` (loss against context), `position` (loss within it) and their `legend`, each possibly empty.

    `relative` is in per cent of the arm's own loss at the trained length; plain solid, window dashed.
    """
    found = results.get("length") or {}
    arms, trained = found.get("arms") or [], found.get("train_length")
    if not arms or not trained:
        return {}
    names, tolerated = [arm["name"] for arm in arms], 100 * (found.get("tolerance") or 0.05)
    given = marker_styles(names)
    looks = styles(names, given)
    relative, position = [], []
    for arm in arms:
        for way, dash in (("window", {"linestyle": (0, (4, 2)), "mfc": "none"}), ("plain", {})):
            points = relative_loss(arm.get(way) or {}, reference=arm.get("plain") or {}, trained=trained)
            relative.append(_series(arm["name"], points, looks[arm["name"]] | dash, note=f", {way},"))
        position.append(_series(arm["name"], _thinned(arm.get("by_position") or []), looks[arm["name"]]))
    contexts = sorted(found.get("contexts") or [trained])
    guides = (
        Guide(at=tolerated, text=f"{tolerated:g} % worse"),
        Guide(at=trained, text="trained length", upright=True),
    )
    x = Axis(label="context, tokens", log=2, ticks=contexts)
    y = Axis(label="loss against trained length, %", top=_TOP, unit=" %")
    seen = sorted({point.x for one in position for point in one.points})
    ticks = [2**k for k in range(math.ceil(math.log2(max(seen, default=1))) + 1)]
    ticks = [tick for tick in ticks if seen and seen[0] <= tick <= seen[-1]]
    where = Axis(label="position in the context", log=2, ticks=ticks or seen)
    usual = [point.y for one in position for point in one.points]
    top = 1.6 * statistics.median(usual) if usual else None
    drawn = {
        "relative": together(
            relative,
            Spec(name="length", title="loss against context length", x=x, y=y, guides=guides),
        ),
        "position": together(
            position,
            Spec(
                name="position",
                title="loss by position in the context",
                x=where,
                y=Axis(label="bits per byte", top=top, marked=False),
                guides=guides[1:] if seen and seen[0] <= trained <= seen[-1] else (),
            ),
        ),
    }
    several = len(names) <= LEGIBLE
    return drawn | {"legend": swatches(given, prefix="length-swatch") if several else {}}


def relative_loss(losses: Row, *, reference: Row, trained: int) -> list[tuple[float, float]]:
    """(context, how much worse in per cent than the arm itself at the trained length), where both are known."""
    base = (reference.get(str(trained)) or {}).get("mean")
    if not base:
        return []
    known = {int(context): (at or {}).get("mean") for context, at in losses.items()}
    return [(context, 100 * (mean / base - 1)) for context, mean in sorted(known.items()) if mean is not None]


def _series(name: str, points: list[tuple[float, float]], style: dict[str, Any], note: str = "") -> Series:
    return Series(name=name, points=[Point(x, y, note=note) for x, y in points], style=style)


def _thinned(rows: list[Row]) -> list[tuple[float, float]]:
    """Positions from one on, averaged in steps that grow with the position, as the axis is logarithmic."""
    known = [(row["position"], row["bpb"]) for row in rows if row.get("bpb") is not None]
    first = 1 if any(position < 1 for position, _ in known) else 0  # a logarithm wants them counted from one
    chunks: dict[int, list[tuple[float, float]]] = {}
    for position, value in known:
        chunks.setdefault(round(6 * math.log2(position + first)), []).append((position + first, value))
    return [
        (statistics.fmean(x for x, _ in chunk), statistics.fmean(y for _, y in chunk))
        for chunk in chunks.values()
    ]
