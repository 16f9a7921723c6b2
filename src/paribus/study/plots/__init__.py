"""The figures of a report: SVG text that takes its colours and its font from the page around it.

Sizes are CSS pixels; a figure too wide for a phone is drawn a second time for it. Words around a figure
are the business of the templates; NaN has become None before it comes here.
"""

from paribus.study.plots.canvas import COLOURS
from paribus.study.plots.chart import compact
from paribus.study.plots.curves import curves, legend
from paribus.study.plots.forest import forest
from paribus.study.plots.health import health
from paribus.study.plots.ladder import ladder
from paribus.study.plots.length import length
from paribus.study.plots.marks import LOOKS, line_styles, short, signed
from paribus.study.plots.rates import rates
from paribus.study.plots.repetition import repetition
from paribus.study.plots.stability import stability

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
