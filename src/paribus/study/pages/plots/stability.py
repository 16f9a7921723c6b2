"""Depth: the scale of activations and gradients layer by layer, at the start and at the end of training."""

from __future__ import annotations

from paribus.study.pages.plots.chart import Axis, Point, Series, Spec, draw
from paribus.study.pages.plots.curves import swatches
from paribus.study.pages.plots.marks import Row, marker_styles

_QUANTITIES = {"activation_rms": "RMS of the activations", "gradient_rms": "RMS of the gradients"}


def stability(results: Row) -> dict[str, dict[str, str]]:
    """`layers`: a panel by depth, warm-up and quantity, a line to a placement, dashed at the start; `legend`."""
    rows = (results.get("stability") or {}).get("layers") or []
    placements = list(dict.fromkeys(row["placement"] for row in rows))
    looks = marker_styles(placements)
    panels: dict[str, str] = {}
    for key, what in _QUANTITIES.items():
        every = {
            (row["depth"], row.get("warmup")): [
                one for other in rows if _same(row, other) for one in _line(other, key, looks)
            ]
            for row in rows
        }
        whole = [point.y for series in every.values() for one in series for point in one.points]
        several = len({warmup for _, warmup in every}) > 1
        for number, ((depth, warmup), series) in enumerate(sorted(every.items(), key=_order)):
            if not series:
                continue
            where = f"{depth} layers" + (f", warm-up {warmup:g}" if several and warmup is not None else "")
            spec = Spec(
                name=f"stability-{key.split('_')[0]}",
                title=what,
                x=Axis(
                    label="layer", ticks=range(1, 1 + max(int(p.x) for one in series for p in one.points))
                ),
                y=Axis(log=10, also=whole),
            )
            panels[f"{what}, {where}"] = draw(series, spec, every=series, number=number, subject=where)
    return {"layers": panels, "legend": swatches(looks, prefix="stability-swatch")} if panels else {}


def _order(item: tuple[tuple[int, float | None], list[Series]]) -> tuple[int, float]:
    """Shallow before deep; of one depth, less warm-up first."""
    (depth, warmup), _ = item
    return depth, warmup or 0.0


def _same(one: Row, other: Row) -> bool:
    return (one["depth"], one.get("warmup")) == (other["depth"], other.get("warmup"))


def _line(row: Row, key: str, looks: dict[str, dict[str, object]]) -> list[Series]:
    known = [
        (layer, value) for layer, value in enumerate(row.get(key) or [], 1) if value is not None and value > 0
    ]
    if not known or row["placement"] not in looks:
        return []
    style = {**looks[row["placement"]], "markersize": 3.5, "markevery": 0.2}
    if row.get("when") == "start":
        style |= {"linestyle": (0, (4, 2)), "mfc": "none"}
    points = [Point(layer, value, note=f", {row.get('when', 'end')}, layer") for layer, value in known]
    return [Series(name=row["placement"], points=points, style=style)]
