"""The two figures of an audit as SVG elements, drawn without a plotting library: columns, and lines over passes.

Colours are the page's variables, exact values stand in `<title>`s that a browser shows under the pointer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup, escape

from paribus.text.data.audit.worth import count

_WIDTH, _HEIGHT = 440, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 8, 14, 44


class Column(NamedTuple):
    """A column: what stands under it, how high it is, what it says under the pointer."""

    label: str
    value: float
    said: str


def columns(shown: Sequence[Column], *, title: str, x: str, y: str) -> Markup:
    """Columns side by side, from zero."""
    high = max((column.value for column in shown), default=0) or 1
    wide = (_WIDTH - _LEFT - _RIGHT) / max(len(shown), 1)
    every = math.ceil(len(shown) / 12)
    parts = []
    for number, column in enumerate(shown):
        left, tall = _LEFT + number * wide, _across(column.value / high)
        parts.append(
            f'<rect class="column" x="{left + 0.1 * wide:.1f}" y="{_base() - tall:.1f}" width="{0.8 * wide:.1f}" '
            f'height="{tall:.1f}"><title>{escape(column.said)}</title></rect>'
        )
        if number % every == 0:
            parts.append(_text(left + wide / 2, _base() + 15, column.label, "middle"))
    return _figure(parts, title=title, x=x, y=y, top=count(high), bottom="0")


def lines(worth: Mapping[str, Any]) -> Markup:
    """Tokens trained on and what they are worth, over passes on a logarithmic scale."""
    curve = worth["curve"]
    high = curve[-1]["effective"] * 1.4  # fresh tokens leave the figure where they would flatten the curve
    span = math.log2(curve[-1]["passes"])

    def at(passes: float, tokens: float) -> tuple[float, float]:
        across = _LEFT + (_WIDTH - _LEFT - _RIGHT) * (0.02 + 0.96 * math.log2(passes) / span)
        return across, _base() - _across(min(tokens / high, 1))

    parts = []
    for key, name in (("trained", "fresh"), ("effective", "worth")):
        inside = [point for point in curve if point[key] <= high]
        path = " ".join("{:.1f},{:.1f}".format(*at(point["passes"], point[key])) for point in inside)
        parts.append(f'<polyline class="{name}" points="{path}"/>')
        for point in inside:
            x, y = at(point["passes"], point[key])
            said = f"{point['passes']} passes: {count(point['trained'])} tokens, worth {count(point['effective'])}"
            parts.append(
                f'<circle class="{name}" cx="{x:.1f}" cy="{y:.1f}" r="4"><title>{said}</title></circle>'
            )
    for point in curve:
        parts.append(_text(at(point["passes"], 0)[0], _base() + 15, str(point["passes"]), "middle"))
    return _figure(
        parts,
        title="What passes are worth",
        x="passes over the source",
        y="tokens: dashed if all were fresh, solid what they are worth",
        top=count(high),
        bottom="0",
    )


def _base() -> float:
    return _HEIGHT - _BOTTOM


def _across(share: float) -> float:
    return (_HEIGHT - _TOP - _BOTTOM) * share


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _figure(parts: Sequence[str], *, title: str, x: str, y: str, top: str, bottom: str) -> Markup:
    axis = f'<line class="axis" x1="{_LEFT}" y1="{_base()}" x2="{_WIDTH - _RIGHT}" y2="{_base()}"/>'
    words = [
        _text(_LEFT - 6, _TOP + 6, top, "end"),
        _text(_LEFT - 6, _base(), bottom, "end"),
        _text((_LEFT + _WIDTH) / 2, _HEIGHT - 10, x, "middle"),
    ]
    drawn = "".join([axis, *parts, *words])
    return Markup(
        f'<figure><figcaption>{escape(y)}</figcaption><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">'
        f"<title>{escape(title)}</title>{drawn}</svg></figure>"
    )
