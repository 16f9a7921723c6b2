"""Loss against learning rate: one small panel to an arm, all on one scale of loss."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from paribus.study.pages.plots.canvas import COLOURS, Canvas, canvas
from paribus.study.pages.plots.marks import Row, exact


def rates(results: Row) -> dict[str, str]:
    """For each arm, a panel of loss against learning rate, 172 px wide, all on one scale of loss.

    Dots are seeds, the line their means, the pale line the baseline, the dashed upright the fitted
    optimum; a triangle at the top marks what lies above the panel or diverged.
    """
    grids = {arm["name"]: sorted(arm.get("by_rate") or [], key=lambda p: p["lr"]) for arm in results["arms"]}
    means = [[p["mean"] for p in grid if p["mean"] is not None] for grid in grids.values()]
    if not (means := [known for known in means if known]):
        return {}
    # An arm that blows up at its highest rate must not flatten the valleys of all the others.
    low, top = min(map(min, means)), max(map(max, means))
    high = min(top, low + 2 * statistics.median(max(known) - low for known in means))
    margin = 0.12 * (high - low or 0.1)
    panels = {}
    for number, arm in enumerate(arm for arm in results["arms"] if grids[arm["name"]]):
        with canvas(172, 150, box=(36, 26, 130, 116), size=10.5) as c:
            c.ax.set_ylim(low - margin, high + margin)
            _valley(c, grids[arm["name"]], against=grids.get(results["baseline"], []))
            if arm.get("lr_fitted"):
                c.ax.axvline(arm["lr_fitted"], color=COLOURS["muted"], linewidth=1, linestyle=(0, (3, 2)))
                c.tip(arm["lr_fitted"], high + margin, f"fitted optimum {exact(arm['lr_fitted'])}")
            title, desc = f"{arm['name']}: loss against learning rate", f"Best rate: {arm.get('lr')}."
            panels[arm["name"]] = c.svg(name=f"rate-{number}", title=title, desc=desc)
    return panels


def _valley(c: Canvas, grid: Sequence[Row], *, against: Sequence[Row]) -> None:
    """Loss over the tried rates of one arm, with the baseline behind it."""
    ax, tried, top = c.ax, [point["lr"] for point in grid], c.ax.get_ylim()[1]
    ax.set(xscale="log", xlim=(tried[0] / 1.35, tried[-1] * 1.35))
    ax.minorticks_off()
    ticks = tried if len(tried) <= 3 else [tried[0], tried[-1]]
    ax.set_xticks(ticks, [f"{lr:g}" for lr in ticks])
    ax.locator_params(axis="y", nbins=4)
    for points, colour, wide in ((against, "rule", 2.6), (grid, "blue", 1.6)):
        known = [(point["lr"], point["mean"]) for point in points if point["mean"] is not None]
        ax.plot([x for x, _ in known], [y for _, y in known], color=COLOURS[colour], linewidth=wide)
    for point in grid:
        seeds = point.get("values") or []
        inside = [value for value in seeds if value is not None and value <= top]
        ax.plot([point["lr"]] * len(inside), inside, "o", color=COLOURS["blue"], markersize=2.8, alpha=0.7)
        where = f"rate {exact(point['lr'])}"
        for value in inside:
            c.tip(point["lr"], value, f"{where}, one seed: {exact(value)}", radius=3)
        if point["mean"] is not None:
            c.tip(
                point["lr"], point["mean"], f"{where}, mean of {len(seeds)}: {exact(point['mean'])}", radius=4
            )
        if len(inside) < len(seeds):
            ax.plot([point["lr"]], [top], "^", color=COLOURS["purple"], markersize=6, clip_on=False)
            above = [value for value in seeds if value is None or value > top]
            said = ", ".join("diverged" if value is None else exact(value) for value in above)
            c.tip(point["lr"], top, f"{where}, above this panel: {said}")
