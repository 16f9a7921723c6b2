"""Repetition: what reading the same text again costs, and what of the text comes back when a model writes."""

from __future__ import annotations

from typing import Any

from paribus.study.pages.plots.canvas import COLOURS
from paribus.study.pages.plots.chart import Axis, Point, Series, Spec, draw
from paribus.study.pages.plots.curves import swatches
from paribus.study.pages.plots.marks import Row

_DISTINCT: dict[str, tuple[str, dict[str, Any]]] = {
    "1": ("tokens", {"color": COLOURS["blue"], "marker": "o"}),
    "2": ("pairs", {"color": COLOURS["red"], "marker": "s", "linestyle": (0, (6, 2))}),
    "3": ("triples", {"color": COLOURS["green"], "marker": "^", "linestyle": (0, (2, 1.5))}),
}
_MEASURED: dict[str, Any] = {"color": COLOURS["blue"], "marker": "o", "linewidth": 2}
_PREDICTED: dict[str, Any] = {
    "color": COLOURS["muted"],
    "marker": "D",
    "mfc": "none",
    "linestyle": (0, (4, 2)),
}


def repetition(results: Row) -> dict[str, dict[str, Any]]:
    """`excess`, `distinct` and `copied` against passes, each an `svg` and the `legend` of its lines."""
    arms = sorted((results.get("repetition") or {}).get("arms") or [], key=lambda arm: arm["passes"])
    if not arms:
        return {}
    x = Axis(label="passes over the text", log=2, ticks=[arm["passes"] for arm in arms])
    predicted = [(arm["passes"], arm.get("predicted_excess"), None) for arm in arms]
    none = {"mean": 0.0}  # the baseline is what the others exceed
    excess = [none if arm["name"] == results.get("baseline") else arm.get("excess") for arm in arms]
    measured = [(arm["passes"], *_value(found)) for arm, found in zip(arms, excess, strict=True)]
    counts = [
        _line(
            word,
            [(arm["passes"], (arm.get("distinct") or {}).get(n), None) for arm in arms],
            style,
        )
        for n, (word, style) in _DISTINCT.items()
    ]
    copied = [
        _line("longest copy", [(arm["passes"], arm.get("longest_copy"), None) for arm in arms], _MEASURED)
    ]
    losses = [_line("measured", measured, _MEASURED), _line("data-constrained law", predicted, _PREDICTED)]
    drawn: dict[str, dict[str, Any]] = {}
    for key, title, series, word in (
        ("excess", "loss above one pass against passes", losses, "bits per byte above one pass"),
        ("distinct", "different n-grams against passes", counts, "share of different n-grams"),
        ("copied", "longest copied span against passes", copied, "longest copied span, tokens"),
    ):
        if known := [one for one in series if one.points]:
            spec = Spec(name=f"repetition-{key}", title=title, x=x, y=Axis(label=word))
            looks = {one.name: one.style | {"markersize": 5} for one in known}
            names = swatches(looks, prefix=f"repetition-{key}-swatch") if len(known) > 1 else {}
            drawn[key] = {"svg": draw(known, spec, every=known), "legend": names}
    return drawn


def _value(found: Row | None) -> tuple[float | None, Any]:
    return (found or {}).get("mean"), (found or {}).get("ci95")


def _line(name: str, values: list[tuple[float, float | None, Any]], style: dict[str, Any]) -> Series:
    points = [
        Point(x, y, ends if ends and None not in ends else None) for x, y, ends in values if y is not None
    ]
    return Series(name=name, points=points, style=style)
