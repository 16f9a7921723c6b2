"""One way to draw points, lines and intervals, for every figure that is not a forest or a training curve.

A chart is 440 px wide and shows all its series; `together` makes small panels instead, one to a name with
the others pale behind, where a single figure could no longer be read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from paribus.study.pages.plots.canvas import COLOURS, Box, Canvas, canvas
from paribus.study.pages.plots.marks import LEGIBLE, exact, span

_FIGURE: tuple[float, float, Box, float] = (440, 300, (58, 52, 370, 232), 13)
_PANEL: tuple[float, float, Box, float] = (230, 164, (36, 38, 188, 118), 11)


class Point(NamedTuple):
    """A measured value at `x`, with the ends of its interval where there is one."""

    x: float
    y: float
    ends: Sequence[float] | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Series:
    """Points of one name joined by a line; `style` is what matplotlib takes, `quiet` draws no tooltips."""

    name: str
    points: Sequence[Point]
    style: dict[str, Any]
    quiet: bool = False


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One side of a chart. `log` is the base of its scale, 0 for a linear one; `ticks` stand where given.

    What lies above `top` is cut off, so that one bad value cannot flatten the rest, and where `marked` a triangle
    at the edge says so.
    """

    label: str = ""
    log: int = 0
    ticks: Sequence[float] | None = None
    top: float | None = None
    marked: bool = True
    also: Sequence[float] = ()  # values that the scale must hold too, as another panel has them
    unit: str = ""


@dataclass(frozen=True, kw_only=True)
class Guide:
    """A dashed line across the chart at `at`, upright when it belongs to x, with a word beside it."""

    at: float
    text: str
    upright: bool = False


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What all panels of one figure share."""

    name: str
    title: str
    x: Axis
    y: Axis
    guides: Sequence[Guide] = field(default=())


def together(series: Sequence[Series], spec: Spec, *, alone: bool = False) -> dict[str, str]:
    """`{"": svg}` with every series; a panel by name where `alone` or where there are more than `LEGIBLE`."""
    series = [one for one in series if one.points]
    names = list(dict.fromkeys(one.name for one in series))
    if not series:
        return {}
    if len(names) <= LEGIBLE and not alone:
        return {"": draw(series, spec, every=series)}
    pale: dict[str, Any] = {"color": COLOURS["rule"], "linewidth": 1.2}
    panels = {}
    for number, name in enumerate(names):
        own = [one for one in series if one.name == name]
        others = [
            Series(name="", points=one.points, style=pale, quiet=True) for one in series if one not in own
        ]
        shown = own if alone else [*others, *own]
        panels[name] = draw(shown, spec, every=series, number=number, subject=name)
    return panels


def draw(
    shown: Sequence[Series],
    spec: Spec,
    *,
    every: Sequence[Series],
    number: int | None = None,
    subject: str = "",
) -> str:
    """One chart of `shown` on the scales of `every`; a small panel when it has a `number` among others."""
    width, height, box, size = _FIGURE if number is None else _PANEL
    x, y = spec.x, spec.y
    with canvas(width, height, box=box, size=size) as c:
        low, high = _scales(c, every, spec)
        for guide in spec.guides:
            _guide(c, guide, small=number is not None)
        for one in shown:
            _series(c, one, spec, high=high)
        # A panel says what its height is in the caption of all of them: there is no room for it beside each.
        c.ax.set(xlabel=x.label, ylabel=y.label if number is None else "")
        c.ax.set_ylim(low, high)
        c.ax.grid(axis="y")
        _ticks(c, spec, nbins=5 if number is None else 4, most=6 if number is None else 5)
        named = spec.name if number is None else f"{spec.name}-{number}"
        title = f"{subject}: {spec.title}" if subject else spec.title
        names = ", ".join(dict.fromkeys(one.name for one in shown if not one.quiet))
        return c.svg(name=named, title=title, desc=f"Shown: {names}.")


def spaced(values: Sequence[float], most: int, *, log: int = 0) -> list[float]:
    """At most `most` of the sorted `values`, none so near the last one kept that their labels would touch."""
    values = sorted(set(values))
    if len(values) < 2:
        return values
    at = [math.log(value) if log else value for value in values]
    least, kept = (at[-1] - at[0]) / most, [0]
    for i in range(1, len(values)):
        if at[i] - at[kept[-1]] >= least * 0.999:
            kept.append(i)
    return [values[i] for i in kept]


def compact(value: float) -> str:
    """A tick label: 64, 1,024, 33 k, 2.5 M, 0.001."""
    for size, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if prefix == 'k' else size):.3g} {prefix}"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.3g}"


def _scales(c: Canvas, every: Sequence[Series], spec: Spec) -> tuple[float, float]:
    """Set the scales; return the limits of y, with room for what is drawn."""
    ends = [end for one in every for p in one.points for end in (p.y, *(p.ends or ())) if math.isfinite(end)]
    ends += [value for value in spec.y.also if math.isfinite(value)]
    if spec.x.log:
        c.ax.set_xscale("log", base=spec.x.log)
    if spec.y.log:
        c.ax.set_yscale("log", base=spec.y.log)
        low, high = min(end for end in ends if end > 0), max(ends)
        room = (high / low) ** 0.06 if high > low else 1.5
        low, high = low / room, high * room
    else:
        ends += [guide.at for guide in spec.guides if not guide.upright]
        low, high = min(ends), max(ends) if spec.y.top is None else min(max(ends), spec.y.top)
        room = 0.07 * (high - low) or 0.1 * abs(high) or 0.1
        # All zero: the axis goes up from there, for most of what is zero all over cannot be less.
        low, high = (low - room, high + room) if (low, high) != (0, 0) else (-0.07 * room, room)
    xs = [p.x for one in every for p in one.points]
    if min(xs) == max(xs):  # a single point stands in the middle
        c.ax.set_xlim(*((xs[0] / 2, xs[0] * 2) if spec.x.log else (xs[0] - 1, xs[0] + 1)))
    else:
        span_x = (max(xs) / min(xs)) ** 0.04 if spec.x.log else 0.04 * (max(xs) - min(xs))
        left, right = (
            (min(xs) / span_x, max(xs) * span_x) if spec.x.log else (min(xs) - span_x, max(xs) + span_x)
        )
        c.ax.set_xlim(left, right)
    return low, high if spec.y.top is None else min(high, spec.y.top)


def _series(c: Canvas, one: Series, spec: Spec, *, high: float) -> None:
    # The line goes on to the first point beyond the edge, where it is cut: it must be seen to leave.
    c.ax.plot([p.x for p in one.points], [p.y for p in one.points], **one.style)
    if one.quiet:
        return
    for point in one.points:
        above, colour = point.y > high, one.style["color"]
        if point.ends and None not in point.ends:
            c.ax.plot([point.x] * 2, point.ends, color=colour, linewidth=1.3, marker="_", markersize=5)
        if above and spec.y.marked:
            c.ax.plot([point.x], [high], "^", color=colour, markersize=7, clip_on=False)
        if spec.y.marked or not above:
            said = (
                f"{one.name}{point.note} at {exact(point.x)}: {exact(point.y)}{spec.y.unit}{span(point.ends)}"
            )
            c.tip(point.x, min(point.y, high), said)


def _guide(c: Canvas, guide: Guide, *, small: bool) -> None:
    style: dict[str, Any] = {
        "color": COLOURS["muted"],
        "linewidth": 1,
        "linestyle": (0, (3, 2)),
        "zorder": 0.9,
    }
    (c.ax.axvline if guide.upright else c.ax.axhline)(guide.at, **style)
    if guide.text and not small:
        words: dict[str, Any] = {"color": COLOURS["muted"], "fontsize": 11}
        if guide.upright:
            c.ax.text(guide.at, 1.01, guide.text, transform=c.ax.get_xaxis_transform(), ha="center", **words)
        else:
            c.ax.text(0.005, guide.at, guide.text, transform=c.ax.get_yaxis_transform(), va="bottom", **words)


def _ticks(c: Canvas, spec: Spec, *, nbins: int, most: int) -> None:
    for axis, side in ((spec.x, c.ax.xaxis), (spec.y, c.ax.yaxis)):
        if axis.ticks is not None or axis.log:
            ticks = axis.ticks if axis.ticks is not None else _round_values(*sorted(side.get_view_interval()))
            kept = spaced(ticks, most, log=axis.log)
            side.set_ticks(kept, [compact(value) for value in kept])
        else:
            c.ax.locator_params(axis="x" if side is c.ax.xaxis else "y", nbins=nbins)
    c.ax.minorticks_off()


def _round_values(low: float, high: float) -> list[float]:
    """Round values from `low` to `high` on a logarithmic scale: the roundest ones of which there are three."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found: list[float] = []
    for mantissas in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7)):
        found = [m * 10.0**power for power in powers for m in mantissas if low <= m * 10.0**power <= high]
        if len(found) >= 3:
            return found
    return found if len(found) == 2 else [low, high]


def styles(names: Sequence[str], given: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """`given` styles by name; a plain blue line for a name that stands in a panel of its own."""
    own: dict[str, Any] = {"color": COLOURS["blue"], "marker": "o", "markersize": 4, "linewidth": 1.8}
    return {name: own if len(names) > LEGIBLE else given.get(name, own) for name in names}
