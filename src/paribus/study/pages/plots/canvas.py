"""What every figure of a report is drawn on: an axes in CSS pixels that becomes one SVG element of the page.

Every colour is drawn as one of `COLOURS` and then rewritten to `var(--name, #colour)`, so that one
drawing serves light, dark and paper. Text stays text. Exact values stand in `tip`s: unseen targets over
the marks whose `<title>` a browser shows under the pointer, without a script.
matplotlib loads where it draws: who writes no report never pays.
"""

from __future__ import annotations

import functools
import html
import io
import math
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Box = tuple[float, float, float, float]  # left, bottom, width, height
_TEMPLATES = Path(__file__).parent.parent / "templates"
# Name and light colour of each CSS variable of the page, which stay the only place where colours are
# chosen. A code is the key by which a drawn colour is found again, so each may stand there once.
_PALETTE = (_TEMPLATES / "report.css").read_text("utf-8").split("}")[0]
COLOURS = dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", _PALETTE))


@dataclass
class Canvas:
    """A figure with one axes; `svg` makes it a piece of the page."""

    fig: Figure
    ax: Axes
    tips: list[tuple[float, float, str, float]] = field(default_factory=list)

    def tip(self, x: float, y: float, text: str, *, radius: float = 7) -> None:
        """Say `text` when the pointer is within `radius` pixels of the mark at data point (x, y)."""
        self.tips.append((x, y, text, radius))

    def svg(self, *, name: str, title: str, desc: str) -> str:
        """One `<svg>` element that can stand beside others: own ids, and the colours and font of the page."""
        out = io.StringIO()
        bare = {"Date": None, "Creator": None, "Format": None, "Type": None}
        self.fig.savefig(out, format="svg", metadata=bare)
        # The style sheet would reach the whole page; what comes before the drawing names outside addresses.
        body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", out.getvalue(), flags=re.DOTALL)
        body = body[body.index(">", body.index("<svg")) + 1 : body.rindex("</svg>")]
        body = re.sub(r"<[^>]+>", lambda tag: _restyled(tag[0], name), body)
        width, height = self.fig.get_size_inches() * 72
        head = f'<svg class="plot" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}"'
        head += f' role="img" aria-labelledby="{name}-title {name}-desc"><title id="{name}-title">'
        head += f'{html.escape(title)}</title><desc id="{name}-desc">{html.escape(desc)}</desc>'
        return head + re.sub(r">\s+<", "><", body).strip() + self._targets(height) + "</svg>"

    def _targets(self, height: float) -> str:
        """The tips that lie inside the axes, over everything that is drawn."""
        area, marks = self.ax.bbox, []
        for x, y, text, radius in self.tips:
            across, up = self.ax.transData.transform((x, y))
            inside = -1 <= across - area.x0 <= area.width + 1 and -1 <= up - area.y0 <= area.height + 1
            if inside and math.isfinite(across + up):
                place = f'cx="{across:.1f}" cy="{height - up:.1f}" r="{radius:g}"'
                marks.append(f"<circle {place}><title>{html.escape(text)}</title></circle>")
        return f'<g class="tips" fill="none" pointer-events="all">{"".join(marks)}</g>' if marks else ""


@functools.cache
def _style() -> Any:
    """What all figures share; read once, as reading it takes as long as drawing a panel."""
    import matplotlib

    read = matplotlib.rc_params_from_file(_TEMPLATES / "plots.mplstyle", use_default_template=False)
    return {key: read[key] for key in read}


@contextmanager
def canvas(width: float, height: float, *, box: Box, size: float = 12.5) -> Iterator[Canvas]:
    """A figure in CSS pixels (72 dots per inch: a point is a pixel) with its axes at `box`, text `size` tall."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_style() | {"font.size": size}), warnings.catch_warnings():
        # The page's font draws the text; that matplotlib's own lacks a glyph does not matter.
        warnings.filterwarnings("ignore", message="Glyph")
        fig = Figure(figsize=(width / 72, height / 72), dpi=72)
        left, bottom, wide, high = box
        yield Canvas(fig, fig.add_axes((left / width, bottom / height, wide / width, high / height)))


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
