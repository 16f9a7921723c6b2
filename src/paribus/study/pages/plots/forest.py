"""The forest: differences of all arms from the baseline, each with its interval, one row to an arm."""

from __future__ import annotations

import statistics

from paribus.study.pages.plots.canvas import COLOURS, Canvas, canvas
from paribus.study.pages.plots.marks import CONTROL_LOOKS, LOOKS, Look, Row, exact, short, signed, span


def forest(results: Row, *, digits: int, narrow: bool = False) -> str | None:
    """Differences from the baseline with their intervals, seeds as dots, controls last and muted.

    Drawn 940 px wide, or 350 px when `narrow`, and as tall as the arms need; None when no arm has a
    difference. A row too far out for the common scale is cut at the edge and ends in an arrowhead. Where
    the study has a margin, a band shows it and a thick line the 90 % interval that `same` is judged by.
    """
    base: Row = next((arm for arm in results["arms"] if arm["name"] == results["baseline"]), {})
    arms = [arm for arm in results["arms"] if arm["name"] != results["baseline"]]
    places = [(float(y), row, False) for y, row in enumerate(arms)]
    places += [(len(arms) + 0.4 + y, row, True) for y, row in enumerate(results.get("controls") or [])]
    ends = [max(map(abs, spread)) for _, row, _ in places if (spread := _spread(row))]
    if not ends:
        return None
    # Every interval decides the scale, unless it lies far beyond what is usual.
    margin = results.get("margin") or 0
    reach = 1.08 * max(min(max(ends), 4 * statistics.median(ends)) or 0.01, margin)
    tall = places[-1][0] + 1
    width, row_px, left, right = (350, 52, 10, 10) if narrow else (940, 34, 165, 375)
    box = (left, 52, width - left - right, row_px * tall)
    with canvas(width, 82 + row_px * tall, box=box) as c:
        ax = c.ax
        ax.set(xlim=(-reach, reach), ylim=(tall - 0.5, -0.5), yticks=[])
        ax.set_xlabel(
            f"difference from {short(results['baseline'], 24)}, {results.get('unit', 'bits per byte')}",
            labelpad=8,
        )
        ax.grid(axis="x")
        if margin:
            ax.axvspan(-margin, margin, color=COLOURS["rule"], alpha=0.45, linewidth=0, zorder=0)
        ax.axvline(0, color=COLOURS["ink"], linewidth=1.2)
        ax.locator_params(axis="x", nbins=4 if narrow else 6)
        ax.text(-0.03 * reach, -0.6, "better ←", ha="right", color=COLOURS["muted"])
        ax.text(0.03 * reach, -0.6, "→ worse", color=COLOURS["muted"])
        for y, row, muted in places:
            _row_text(c, row, y=y, digits=digits, narrow=narrow, muted=muted)
            shown = row if margin else {**row, "difference": {**(row.get("difference") or {}), "ci90": None}}
            # A control may stand as it was under another scheme, and the baseline's seeds are those of the first.
            paired = row.get("scheme") in (None, *(results.get("schemes") or [])[:1])
            _interval(c, shown, base=base if paired else {}, y=y, reach=reach, muted=muted)
        title = f"Difference of every arm from {results['baseline']}, with simultaneous intervals"
        desc = "; ".join(f"{row['name']} {_said(row, muted)[0]}" for _, row, muted in places)
        return c.svg(name="forest-narrow" if narrow else "forest", title=title, desc=desc)


def _interval(c: Canvas, row: Row, *, base: Row, y: float, reach: float, muted: bool) -> None:
    """One row of the forest: interval and mean, and below them the seeds' own differences as dots."""
    if not (spread := _spread(row)):
        return
    ax, look, (mean, low, high) = c.ax, LOOKS[row["verdict"]], spread
    colour = COLOURS["muted" if muted else look.colour]
    pairs = enumerate(zip(row.get("values") or [], base.get("values") or [], strict=False))
    dots = {seed: a - b for seed, (a, b) in pairs if a is not None and b is not None and abs(a - b) <= reach}
    style = {"color": colour, "alpha": 0.6, "markersize": 3.4, "markeredgewidth": 0}
    ax.plot([*dots.values()], [y + 0.27] * len(dots), "o", **style)
    for seed, dot in dots.items():
        c.tip(
            dot, y + 0.27, f"{row['name']}, seed {seed + 1} of {len(row['values'])}: {exact(dot)}", radius=4
        )
    ax.plot([max(low, -reach), min(high, reach)], [y, y], color=colour, linewidth=1.4 if muted else 2.2)
    inner = row["difference"].get("ci90")
    if inner and None not in inner and not muted:
        ends = [min(max(end, -reach), reach) for end in inner]
        ax.plot(ends, [y, y], color=colour, linewidth=5, alpha=0.45, solid_capstyle="butt")
    for edge, arrow in [(-reach, "<")] * (low < -reach) + [(reach, ">")] * (high > reach):
        ax.plot([edge], [y], arrow, color=colour, markersize=7, clip_on=False)
    if abs(mean) <= reach:
        fill = COLOURS["paper"] if muted or row["verdict"] == "cannot tell" else colour
        ax.plot([mean], [y], look.marker, color=colour, mfc=fill, markersize=7, mew=1.6)
    text = f"{row['name']}, {_said(row, muted)[0]}: {exact(mean)}{span(row['difference'].get('ci95'))}"
    for place in {min(max(at, -reach), reach) for at in spread}:
        c.tip(place, y, text, radius=8)


def _row_text(c: Canvas, row: Row, *, y: float, digits: int, narrow: bool, muted: bool) -> None:
    """Name, difference and verdict of a row: beside the axis, or above the interval where it is narrow."""
    ax, across, (said, look) = c.ax, c.ax.get_yaxis_transform(), _said(row, muted)
    ink, hue = (COLOURS["muted" if muted else colour] for colour in ("ink", look.colour))
    mean, *ends = [signed(value, digits) for value in _spread(row) or ()] or ["no difference measured"]
    numbers = f"{mean}  [{', '.join(ends)}]" if len({mean, *ends}) > 1 else mean
    if narrow:
        clear = {"transform": across, "color": ink, "bbox": {"fc": COLOURS["paper"], "pad": 1.5, "lw": 0}}
        ax.text(0, y - 0.2, f"{look.symbol} {short(row['name'], 20)}", **clear)
        ax.text(1, y - 0.2, numbers, ha="right", **clear)
        return
    ax.text(-0.41, y, short(row["name"], 25), transform=across, va="center", color=ink)
    ax.text(1.04, y, numbers, transform=across, va="center", color=ink)
    ax.text(1.475, y, f"{look.symbol} {said}", transform=across, va="center", color=hue)


def _said(row: Row, control: bool) -> tuple[str, Look]:
    """An arm's verdict, or whether a control did as it should, and how that looks."""
    return CONTROL_LOOKS[row.get("ok")] if control else (row["verdict"], LOOKS[row["verdict"]])


def _spread(row: Row) -> tuple[float, float, float] | None:
    """Mean and ends of a row's difference; both ends are the mean where there is no interval."""
    mean = (row.get("difference") or {}).get("mean")
    return None if mean is None else (mean, *(row["difference"].get("ci95") or (mean, mean)))
