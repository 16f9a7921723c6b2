"""The figures of a report: SVG text that takes its colours and its font from the page around it.

Sizes are CSS pixels; a figure too wide for a phone is drawn a second time for it. Words around a figure
are the business of the templates; NaN has become None before it comes here.
"""

from paribus.study.pages.plots.canvas import COLOURS
from paribus.study.pages.plots.chart import compact
from paribus.study.pages.plots.curves import curves, legend
from paribus.study.pages.plots.forest import forest
from paribus.study.pages.plots.health import health
from paribus.study.pages.plots.ladder import ladder
from paribus.study.pages.plots.length import length
from paribus.study.pages.plots.marks import LOOKS, line_styles, short, signed
from paribus.study.pages.plots.rates import rates
from paribus.study.pages.plots.repetition import repetition
from paribus.study.pages.plots.stability import stability

__all__ = [
    "COLOURS",
    "LOOKS",
    "compact",
    "curves",
    "forest",
    "health",
    "ladder",
    "legend",
    "length",
    "line_styles",
    "rates",
    "repetition",
    "short",
    "signed",
    "stability",
]
