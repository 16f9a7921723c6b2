"""How arms, verdicts and numbers look in every figure of a report: symbols, lines, and short forms."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from paribus.study.pages.plots.canvas import COLOURS

Row = Mapping[str, Any]  # results.json, or one arm or control of it
# Colour, dash and marker change together, so that no line is known by its colour alone.
_LINES: tuple[tuple[str, Any, str], ...] = (
    ("blue", "-", "o"),
    ("red", (0, (6, 2)), "s"),
    ("green", (0, (2, 1.5)), "^"),
    ("purple", (0, (8, 2, 2, 2)), "D"),
    ("ochre", (0, (4, 1, 1, 1, 1, 1)), "v"),
    ("rose", (0, (10, 3)), "P"),
)
#: How many lines one figure can hold before it has to become small multiples.
LEGIBLE = len(_LINES) + 2


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
#: The same of a control, by whether it did as it should; None where that could not be judged.
CONTROL_LOOKS: dict[bool | None, tuple[str, Look]] = {
    True: ("passed", Look("✓", "blue", "o")),
    False: ("failed", Look("✕", "red", "o")),
    None: ("not tested", Look("?", "muted", "o")),
}


def line_styles(results: Row) -> dict[str, dict[str, Any]]:
    """Lines of the baseline and of the six best other arms; more could not be told apart."""
    drawn = {arm["name"]: arm.get("mean") or math.inf for arm in results["arms"] if curve(arm, "tokens")}
    others = sorted(drawn.keys() - {results["baseline"]}, key=lambda name: (drawn[name], name))
    styles: dict[str, dict[str, Any]] = {}
    if results["baseline"] in drawn:
        styles[results["baseline"]] = {"color": COLOURS["ink"], "linewidth": 2.4}
    for name, (colour, dash, marker) in zip(others, _LINES, strict=False):
        styles[name] = {"color": COLOURS[colour], "linestyle": dash, "marker": marker, "markersize": 5}
    return styles


def marker_styles(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Colour and marker of up to `LEGIBLE` series whose dash has a meaning of its own; all solid."""
    looks = [(colour, marker) for colour, _, marker in _LINES]
    looks = [("ink", "h"), *looks, ("muted", "*")]
    return {
        name: {"color": COLOURS[colour], "marker": marker, "markersize": 5}
        for name, (colour, marker) in zip(names, looks, strict=False)
    }


def curve(arm: Row, against: str) -> list[tuple[float, float]]:
    """The arm's curve without its missing points, averaged down to at most 100 of them."""
    drawn = arm.get("curve") or {}
    pairs = zip(drawn.get(against) or [], drawn.get("train_bpb") or [], strict=False)
    known = [(x, y) for x, y in pairs if x is not None and y is not None]
    size = math.ceil(len(known) / 100) or 1
    chunks = [zip(*known[i : i + size], strict=True) for i in range(0, len(known), size)]
    return [(statistics.fmean(xs), statistics.fmean(ys)) for xs, ys in chunks]


def short(name: str, length: int) -> str:
    """`name` on one line, with its middle left out where it is longer than `length`."""
    name, tail = " ".join(name.split()), length // 3
    return name if len(name) <= length else f"{name[: length - tail - 1]}…{name[-tail:]}"


def signed(value: float, digits: int) -> str:
    """`value` with its sign, the minus as wide as the plus."""
    return f"{value:+.{digits}f}".replace("-", "−")


def exact(value: float) -> str:
    """`value` as a tooltip says it: six digits, or all of a whole number."""
    return (f"{value:,.0f}" if float(value).is_integer() else f"{value:,.6g}").replace("-", "−")


def span(ends: Sequence[float] | None) -> str:
    """`, 1.2 to 1.4` for a tooltip; nothing where there is no interval."""
    return f", {exact(ends[0])} to {exact(ends[1])}" if ends and None not in ends else ""
