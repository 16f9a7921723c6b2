"""Health of the feed-forward layers: what is dead, what is stuck, and how large signals and gradients are."""

from __future__ import annotations

from typing import Any

from paribus.study.pages.plots.canvas import COLOURS
from paribus.study.pages.plots.chart import Axis, Point, Series, Spec, draw
from paribus.study.pages.plots.marks import Row, line_styles

#: Key of a layer's record, and the words of its panel.
MEASURES = {
    "dead_units": "Dead units, share",
    "gate_saturation": "Saturated gates, share",
    "hidden_rms": "RMS of the hidden units",
    "grad_norm": "Norm of the gradient",
}
_REST: dict[str, Any] = {"color": COLOURS["muted"], "linewidth": 0.8, "alpha": 0.5}


def health(results: Row) -> dict[str, str]:
    """A panel to a measure, by layer, a line to an arm in the style that it has in the training curves."""
    looks, panels = line_styles(results), {}
    arms = sorted(results["arms"], key=lambda arm: arm["name"] in looks)  # what stands out is drawn last
    for number, (key, words) in enumerate(MEASURES.items()):
        series = []
        for arm in arms:
            layers = enumerate((arm.get("health") or {}).get("layers") or [], 1)
            points = [Point(i, row[key], note=", layer") for i, row in layers if row.get(key) is not None]
            style = {"marker": "o", "markersize": 4} | looks.get(arm["name"], _REST)
            if points:
                series.append(Series(name=arm["name"], points=points, style=style))
        if series:
            count = max(int(point.x) for one in series for point in one.points)
            spec = Spec(
                name="health",
                title="by layer",
                x=Axis(label="layer", ticks=range(1, count + 1)),
                y=Axis(),
            )
            panels[words] = draw(series, spec, every=series, number=number, subject=words)
    return panels
