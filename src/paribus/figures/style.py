"""How the figures look, and how they are written: the same bytes for the same matplotlib.

Colours are Okabe and Ito's, which colour-blind readers tell apart; lines differ in dash as well. Figures have
a white ground of their own, so they are legible on dark pages too.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paribus.errors import RequestError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#a06b00", "#56b4e9", "#000000", "#7a5195")
DASHES: tuple[Any, ...] = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (8, 2, 2, 2)), (0, (4, 1, 1, 1, 1, 1)))
FORMATS = ("svg", "png", "pdf")

_STYLE: dict[Any, Any] = {
    "axes.edgecolor": "#8a8a8a",
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 11,
    "figure.dpi": 110,
    "figure.facecolor": "white",
    "font.family": "sans-serif",
    "font.size": 10,
    "grid.color": "#e6e6e6",
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "savefig.facecolor": "white",
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "paribus",
}


def line(index: int) -> dict[str, Any]:
    """Colour and dash of the line of this number."""
    return {"color": COLOURS[index % len(COLOURS)], "linestyle": DASHES[index % len(DASHES)]}


@contextmanager
def canvas(width: float, height: float) -> Iterator[Figure]:
    """A figure of so many inches under our style, laid out without overlaps."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")
        yield Figure(figsize=(width, height), layout="constrained")


def save(figure: Figure, path: Path) -> None:
    """Write the figure as the ending of `path` says; `RequestError` for one that is not known."""
    import matplotlib

    kind = path.suffix.removeprefix(".").lower()
    if kind not in FORMATS:
        raise RequestError(
            f"a figure is written as {', '.join(FORMATS)}, by the file's ending; {path} has none"
        )
    metadata = {"Date": None} if kind == "svg" else None
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")
        try:
            figure.savefig(path, format=kind, metadata=metadata)
        except FileNotFoundError:
            raise RequestError(f"{path.parent} is no folder to write {path.name} in") from None
