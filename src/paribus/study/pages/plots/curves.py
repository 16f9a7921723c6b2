"""The four axes of cost: loss against training tokens, arithmetic, time and memory, one line or point to an arm."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from paribus.study.pages.plots.canvas import COLOURS, Canvas, canvas
from paribus.study.pages.plots.marks import Row, curve, exact, line_styles

# Title of each axis: its unit, how an arm's curve gets there, and where its total stands.
_AXES = {
    "tokens": ("training tokens", "tokens", "tokens"),
    "FLOPs": ("training FLOPs", "flops", "flops"),
    "seconds": ("seconds of training", "seconds", "seconds"),
    "peak memory": ("peak memory, bytes", None, "peak_memory_bytes"),
}
_REST: dict[str, Any] = {"color": COLOURS["muted"], "linewidth": 0.8, "alpha": 0.5}


def curves(results: Row) -> dict[str, str]:
    """Loss against tokens, FLOPs, seconds and peak memory, one figure each, drawn 440 px wide.

    Training curves where they were kept (FLOPs are tokens times FLOPs per token), else and for memory a point
    to an arm at its held-out loss. The axis of loss begins where the steep first fifth of training ends: the
    arms part only below it.
    """
    figures, looks = {}, line_styles(results)
    for against, (unit, way, total) in _AXES.items():
        lines = {arm["name"]: line for arm in results["arms"] if len(line := _line(arm, way)) > 1}
        known = ((arm, arm.get(total), arm.get("mean")) for arm in results["arms"])
        points = {arm["name"]: (x, y) for arm, x, y in known if x is not None and y is not None}
        if not lines and not points:
            continue
        with canvas(440, 300, box=(54, 52, 374, 236), size=13) as c:
            if lines:
                _draw_lines(c, lines, looks, unit=unit, loss=results.get("unit", "bits per byte"))
            else:
                _draw_points(c, points, looks, unit=unit, loss=results.get("unit", "bits per byte"))
            _scale_x(c, plain=against == "seconds")
            c.ax.set_xlabel(unit)
            c.ax.grid(axis="y")
            title = (
                f"{'Training' if lines else 'Held-out'} loss of {len(lines or points)} arms against {unit}"
            )
            slug = against.lower().replace(" ", "-")
            figures[against] = c.svg(name=f"curve-{slug}", title=title, desc="Means over seeds.")
    return figures


def legend(results: Row, *, prefix: str = "swatch") -> dict[str, str]:
    """The arms that stand out in `curves`, each with a swatch of its line; `prefix` as in `swatches`."""
    return swatches(line_styles(results), prefix=prefix)


def swatches(styles: Mapping[str, Mapping[str, Any]], *, prefix: str) -> dict[str, str]:
    """A short piece of each line, 44 px wide, for a legend in the page's own text; ids begin with `prefix`."""
    drawn = {}
    for number, (name, style) in enumerate(styles.items()):
        with canvas(44, 14, box=(0, 0, 44, 14)) as c:
            c.ax.set_axis_off()
            c.ax.plot([0, 1, 2], [0, 0, 0], **(dict(style) | {"markevery": [1]}))
            drawn[name] = c.svg(name=f"{prefix}-{number}", title=name, desc="Line in the figure.")
    return drawn


def _line(arm: Row, way: str | None) -> list[tuple[float, float]]:
    """The arm's training curve along one axis; empty where the axis has none."""
    if way != "flops":
        return curve(arm, way) if way else []
    each = arm.get("flops_per_token")
    return [(tokens * each, loss) for tokens, loss in curve(arm, "tokens")] if each else []


def _draw_lines(
    c: Canvas, lines: Mapping[str, list[tuple[float, float]]], looks: Row, *, unit: str, loss: str
) -> None:
    scale = [lines[name] for name in lines if name in looks] or [*lines.values()]
    low = min(y for line in scale for _, y in line)
    early = [line[len(line) // 5][1] for line in scale]
    high = min(max(early), low + 2 * (statistics.median(early) - low))  # as in `rates`
    pad = 0.06 * (high - low or 0.1)
    for name in sorted(lines, key=lambda name: name in looks):  # what stands out is drawn last
        c.ax.plot(*zip(*lines[name], strict=True), markevery=0.17, **looks.get(name, _REST))
        for x, y in [*lines[name][:: max(len(lines[name]) // 6, 1)], lines[name][-1]]:
            if y <= high + pad and (name in looks or (x, y) == lines[name][-1]):
                c.tip(x, y, f"{name}: {exact(y)} {loss} at {exact(x)} {unit}")
    c.ax.set(ylabel=f"training loss, {loss}", ylim=(low - pad, high + pad))
    c.ax.set_xlim(left=0)


def _draw_points(
    c: Canvas, points: Mapping[str, tuple[float, float]], looks: Row, *, unit: str, loss: str
) -> None:
    for name in sorted(points, key=lambda name: name in looks):
        own = looks.get(name, _REST)
        c.ax.plot(
            *points[name], own.get("marker", "o"), color=own["color"], markersize=8, alpha=own.get("alpha", 1)
        )
        c.tip(*points[name], f"{name}: {exact(points[name][1])} {loss}, {exact(points[name][0])} {unit}")
    c.ax.set_ylabel(f"held-out loss, {loss}")
    c.ax.margins(0.12)


def _scale_x(c: Canvas, *, plain: bool) -> None:
    from matplotlib.ticker import EngFormatter

    c.ax.xaxis.set_major_formatter("{x:g}" if plain else EngFormatter())
    c.ax.locator_params(axis="both", nbins=5)
