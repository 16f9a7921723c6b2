"""Held-out loss against the number of fine-tuning tokens, with the loss before any of them."""

from __future__ import annotations

from typing import Any

from paribus.study.pages.plots.canvas import COLOURS
from paribus.study.pages.plots.chart import Axis, Guide, Point, Series, Spec, draw
from paribus.study.pages.plots.marks import Row

_STYLE: dict[str, Any] = {"color": COLOURS["blue"], "marker": "o", "linewidth": 2, "markersize": 5}


def amounts_plot(results: Row) -> str:
    """The `svg` of a study's points; an interval where there are two seeds."""
    points = [
        Point(
            point["loss_bearing"],
            point["val_bpb"]["mean"],
            point["val_bpb"]["ci95"],
            f" ({point['share']} of the data)",
        )
        for point in results["points"]
    ]
    before = results["before"]
    spec = Spec(
        name="sft-amounts",
        title="held-out loss against fine-tuning tokens",
        x=Axis(label="loss-bearing fine-tuning tokens", log=2, ticks=[point.x for point in points]),
        y=Axis(label="bits per byte of held-out answers"),
        guides=() if before is None else (Guide(at=before, text="before fine-tuning"),),
    )
    series = [Series(name="held-out answers", points=points, style=_STYLE)]
    return draw(series, spec, every=series)
