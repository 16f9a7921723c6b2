"""The figures of a report: SVG text that takes its colours and its font from the page around it.

Every colour is drawn as one of `COLOURS` and then rewritten to `var(--name, #colour)`, so that one
drawing serves light, dark and paper. Text stays text. Sizes are CSS pixels; a figure too wide for a
phone is drawn a second time for it. Words around a figure are the business of the templates; NaN has
become None before it comes here. matplotlib loads where it draws: who writes no report never pays.
"""

from __future__ import annotations

import html
import io
import math
import re
import statistics
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Row = Mapping[str, Any]  # results.json, or one arm or control of it
Box = tuple[float, float, float, float]  # left, bottom, width, height
_TEMPLATES = Path(__file__).parent / "templates"
# Name and light colour of each CSS variable of the page, which stay the only place where colours are
# chosen. A code is the key by which a drawn colour is found again, so each may stand there once.
_PALETTE = (_TEMPLATES / "report.css").read_text("utf-8").split("}")[0]
COLOURS = dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", _PALETTE))
# Colour, dash and marker change together, so that no line is known by its colour alone.
_LINES: tuple[tuple[str, Any, str], ...] = (
    ("blue", "-", "o"),
    ("red", (0, (6, 2)), "s"),
    ("green", (0, (2, 1.5)), "^"),
    ("purple", (0, (8, 2, 2, 2)), "D"),
    ("ochre", (0, (4, 1, 1, 1, 1, 1)), "v"),
    ("rose", (0, (10, 3)), "P"),
)


class Look(NamedTuple):
    """How a verdict is shown: the symbol of its badge, the colour and the marker of its interval."""

    symbol: str
    colour: str
    marker: str


LOOKS = {
    "baseline": Look("•", "ink", "o"),
    "better": Look("✓", "blue", "s"),
    "worse": Look("✕", "red", "D"),
    "same": Look("=", "ink", "o"),
    "cannot tell": Look("?", "muted", "o"),
    "depends on initialisation": Look("±", "ochre", "^"),
    "diverged": Look("!", "purple", "X"),
}


def forest(results: Row, *, digits: int, narrow: bool = False) -> str | None:
    """Differences from the baseline with their intervals, seeds as dots, controls last and muted.

    Drawn 940 px wide, or 350 px when `narrow`, and as tall as the arms need; None when no arm has a
    difference. A row too far out for the common scale is cut at the edge and ends in an arrowhead.
    """
    base: Row = next((arm for arm in results["arms"] if arm["name"] == results["baseline"]), {})
    arms = [arm for arm in results["arms"] if arm["name"] != results["baseline"]]
    places = [(float(y), row, False) for y, row in enumerate(arms)]
    places += [(len(arms) + 0.4 + y, row, True) for y, row in enumerate(results.get("controls") or [])]
    ends = [max(map(abs, spread)) for _, row, _ in places if (spread := _spread(row))]
    if not ends:
        return None
    # Every interval decides the scale, unless it lies far beyond what is usual.
    reach, tall = 1.08 * (min(max(ends), 4 * statistics.median(ends)) or 0.01), places[-1][0] + 1
    width, row_px, left, right = (350, 52, 10, 10) if narrow else (940, 34, 185, 325)
    box = (left, 52, width - left - right, row_px * tall)
    with _panel(width, 82 + row_px * tall, box=box) as (fig, ax):
        ax.set(xlim=(-reach, reach), ylim=(tall - 0.5, -0.5), yticks=[])
        ax.set_xlabel(f"difference from {short(results['baseline'], 24)}, bits per byte", labelpad=8)
        ax.grid(axis="x")
        ax.axvline(0, color=COLOURS["ink"], linewidth=1.2)
        ax.locator_params(axis="x", nbins=4 if narrow else 6)
        ax.text(-0.03 * reach, -0.6, "better ←", ha="right", color=COLOURS["muted"])
        ax.text(0.03 * reach, -0.6, "→ worse", color=COLOURS["muted"])
        for y, row, muted in places:
            _row_text(ax, row, y=y, digits=digits, narrow=narrow, muted=muted)
            _interval(ax, row, base=base, y=y, reach=reach, muted=muted)
        title = f"Difference of every arm from {results['baseline']}, with simultaneous intervals"
        desc = "; ".join(f"{row['name']} {row['verdict']}" for _, row, _ in places)
        return _svg(fig, name="forest-narrow" if narrow else "forest", title=title, desc=desc)


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
        with _panel(172, 150, box=(36, 26, 130, 116), size=10.5) as (fig, ax):
            ax.set_ylim(low - margin, high + margin)
            _valley(ax, grids[arm["name"]], against=grids.get(results["baseline"], []))
            if arm.get("lr_fitted"):
                ax.axvline(arm["lr_fitted"], color=COLOURS["muted"], linewidth=1, linestyle=(0, (3, 2)))
            title, desc = f"{arm['name']}: loss against learning rate", f"Best rate: {arm.get('lr')}."
            panels[arm["name"]] = _svg(fig, name=f"rate-{number}", title=title, desc=desc)
    return panels


def curves(results: Row) -> dict[str, str]:
    """Training loss against `tokens` and against `seconds`, one figure each, drawn 440 px wide.

    The axis of loss begins where the steep first fifth of training ends: the arms part only below it.
    """
    from matplotlib.ticker import EngFormatter

    figures, styles = {}, line_styles(results)
    for against, unit in (("tokens", "training tokens"), ("seconds", "seconds of training")):
        lines = {arm["name"]: line for arm in results["arms"] if len(line := _points(arm, against)) > 1}
        if not lines:
            continue
        scale = [lines[name] for name in lines if name in styles] or [*lines.values()]
        low = min(y for line in scale for _, y in line)
        early = [line[len(line) // 5][1] for line in scale]
        high = min(max(early), low + 2 * (statistics.median(early) - low))  # as in `rates`
        pad = 0.06 * (high - low or 0.1)
        with _panel(440, 300, box=(54, 52, 374, 236), size=13) as (fig, ax):
            for name in sorted(lines, key=lambda name: name in styles):  # what stands out is drawn last
                style = styles.get(name, {"color": COLOURS["muted"], "linewidth": 0.8, "alpha": 0.5})
                ax.plot(*zip(*lines[name], strict=True), markevery=0.17, **style)
            ax.set(xlabel=unit, ylabel="training loss, bits per byte", ylim=(low - pad, high + pad))
            ax.set_xlim(left=0)
            ax.xaxis.set_major_formatter(EngFormatter() if against == "tokens" else "{x:g}")
            ax.locator_params(axis="both", nbins=5)
            ax.grid(axis="y")
            title = f"Training loss of {len(lines)} arms against {unit}"
            figures[against] = _svg(fig, name=f"curve-{against}", title=title, desc="Means over seeds.")
    return figures


def legend(results: Row) -> dict[str, str]:
    """The arms that stand out in `curves`, each with a swatch of its line."""
    swatches = {}
    for number, (name, style) in enumerate(line_styles(results).items()):
        with _panel(44, 14, box=(0, 0, 44, 14)) as (fig, ax):
            ax.set_axis_off()
            ax.plot([0, 1, 2], [0, 0, 0], markevery=[1], **style)
            swatches[name] = _svg(fig, name=f"swatch-{number}", title=name, desc="Line in the figure.")
    return swatches


def line_styles(results: Row) -> dict[str, dict[str, Any]]:
    """Lines of the baseline and of the six best other arms; more could not be told apart."""
    drawn = {arm["name"]: arm.get("mean") or math.inf for arm in results["arms"] if _points(arm, "tokens")}
    others = sorted(drawn.keys() - {results["baseline"]}, key=lambda name: (drawn[name], name))
    styles: dict[str, dict[str, Any]] = {}
    if results["baseline"] in drawn:
        styles[results["baseline"]] = {"color": COLOURS["ink"], "linewidth": 2.4}
    for name, (colour, dash, marker) in zip(others, _LINES, strict=False):
        styles[name] = {"color": COLOURS[colour], "linestyle": dash, "marker": marker, "markersize": 5}
    return styles


def short(name: str, length: int) -> str:
    """`name` on one line, with its middle left out where it is longer than `length`."""
    name, tail = " ".join(name.split()), length // 3
    return name if len(name) <= length else f"{name[: length - tail - 1]}…{name[-tail:]}"


def signed(value: float, digits: int) -> str:
    """`value` with its sign, the minus as wide as the plus."""
    return f"{value:+.{digits}f}".replace("-", "−")


def _interval(ax: Axes, row: Row, *, base: Row, y: float, reach: float, muted: bool) -> None:
    """One row of the forest: interval and mean, and below them the seeds' own differences as dots."""
    if not (spread := _spread(row)):
        return
    look, (mean, low, high) = LOOKS[row["verdict"]], spread
    colour = COLOURS["muted" if muted else look.colour]
    pairs = zip(row.get("values") or [], base.get("values") or [], strict=False)
    dots = [a - b for a, b in pairs if a is not None and b is not None and abs(a - b) <= reach]
    ax.plot(dots, [y + 0.27] * len(dots), "o", color=colour, alpha=0.6, markersize=3.4, markeredgewidth=0)
    ax.plot([max(low, -reach), min(high, reach)], [y, y], color=colour, linewidth=1.4 if muted else 2.2)
    for edge, arrow in [(-reach, "<")] * (low < -reach) + [(reach, ">")] * (high > reach):
        ax.plot([edge], [y], arrow, color=colour, markersize=7, clip_on=False)
    if abs(mean) <= reach:
        fill = COLOURS["paper"] if muted or row["verdict"] == "cannot tell" else colour
        ax.plot([mean], [y], look.marker, color=colour, mfc=fill, markersize=7, mew=1.6)


def _row_text(ax: Axes, row: Row, *, y: float, digits: int, narrow: bool, muted: bool) -> None:
    """Name, difference and verdict of a row: beside the axis, or above the interval where it is narrow."""
    look, across = LOOKS[row["verdict"]], ax.get_yaxis_transform()
    ink, hue = (COLOURS["muted" if muted else colour] for colour in ("ink", look.colour))
    mean, *ends = [signed(value, digits) for value in _spread(row) or ()] or ["no difference measured"]
    numbers = f"{mean}  [{', '.join(ends)}]" if len({mean, *ends}) > 1 else mean
    if narrow:
        clear = {"transform": across, "color": ink, "bbox": {"fc": COLOURS["paper"], "pad": 1.5, "lw": 0}}
        ax.text(0, y - 0.2, f"{look.symbol} {short(row['name'], 20)}", **clear)
        ax.text(1, y - 0.2, numbers, ha="right", **clear)
        return
    ax.text(-0.43, y, short(row["name"], 25), transform=across, va="center", color=ink)
    ax.text(1.06, y, numbers, transform=across, va="center", color=ink)
    ax.text(1.48, y, f"{look.symbol} {row['verdict']}", transform=across, va="center", color=hue)


def _valley(ax: Axes, grid: Sequence[Row], *, against: Sequence[Row]) -> None:
    """Loss over the tried rates of one arm, with the baseline behind it."""
    tried, top = [point["lr"] for point in grid], ax.get_ylim()[1]
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
        if len(inside) < len(seeds):
            ax.plot([point["lr"]], [top], "^", color=COLOURS["purple"], markersize=6, clip_on=False)


def _points(arm: Row, against: str) -> list[tuple[float, float]]:
    """The arm's curve without its missing points, averaged down to at most 100 of them."""
    curve = arm.get("curve") or {}
    pairs = zip(curve.get(against) or [], curve.get("train_bpb") or [], strict=False)
    known = [(x, y) for x, y in pairs if x is not None and y is not None]
    size = math.ceil(len(known) / 100) or 1
    chunks = [zip(*known[i : i + size], strict=True) for i in range(0, len(known), size)]
    return [(statistics.fmean(xs), statistics.fmean(ys)) for xs, ys in chunks]


def _spread(row: Row) -> tuple[float, float, float] | None:
    """Mean and ends of a row's difference; both ends are the mean where there is no interval."""
    mean = (row.get("difference") or {}).get("mean")
    return None if mean is None else (mean, *(row["difference"].get("ci95") or (mean, mean)))


@contextmanager
def _panel(width: float, height: float, *, box: Box, size: float = 12.5) -> Iterator[tuple[Figure, Axes]]:
    """A figure in CSS pixels (72 dots per inch: a point is a pixel) with its axes at `box`."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"font.size": size}, _TEMPLATES / "plots.mplstyle"), warnings.catch_warnings():
        # The page's font draws the text; that matplotlib's own lacks a glyph does not matter.
        warnings.filterwarnings("ignore", message="Glyph")
        fig = Figure(figsize=(width / 72, height / 72), dpi=72)
        left, bottom, wide, high = box
        yield fig, fig.add_axes((left / width, bottom / height, wide / width, high / height))


def _svg(fig: Figure, *, name: str, title: str, desc: str) -> str:
    """One `<svg>` element that can stand beside others: own ids, and the colours and font of the page."""
    out = io.StringIO()
    fig.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    # The style sheet would reach the whole page; what comes before the drawing names outside addresses.
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", out.getvalue(), flags=re.DOTALL)
    body = body[body.index(">", body.index("<svg")) + 1 :]
    body = re.sub(r"<[^>]+>", lambda tag: _restyled(tag[0], name), body)
    width, height = fig.get_size_inches() * 72
    head = f'<svg class="plot" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}"'
    head += f' role="img" aria-labelledby="{name}-title {name}-desc"><title id="{name}-title">'
    head += f'{html.escape(title)}</title><desc id="{name}-desc">{html.escape(desc)}</desc>'
    return head + re.sub(r">\s+<", "><", body).strip()


_REWRITES = (
    (r' id="(?![mp][0-9a-f]{10}")[^"]*"| transform="rotate\(-?0 [^"]*"', ""),  # names nothing refers to
    (r"font: [^;\"]*?([\d.]+px)[^;\"]*", r"font-size: \1"),
    (r" ?font-family: [^;\"]*;?", ""),
    (r"(\d+\.\d\d)\d+", r"\1"),
    (r"\s+", " "),
    ("xlink:href", "href"),
)


def _restyled(tag: str, name: str) -> str:
    for pattern, replacement in _REWRITES:
        tag = re.sub(pattern, replacement, tag)
    for variable, colour in COLOURS.items():
        tag = tag.replace(colour, f"var(--{variable}, {colour})")
    return re.sub(r'( id="|href="#|url\(#)', rf"\1{name}-", tag)
