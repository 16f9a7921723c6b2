"""The table of figures, and which of them belongs to a part."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from paribus.errors import RequestError, nearest
from paribus.figures import activations, positions, stability

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from paribus.registry import Card


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """One figure: `draw(**options)` gives it and the numbers it shows."""

    name: str
    slot: str
    draw: Callable[..., tuple[Figure, dict[str, Any]]]

    @property
    def caption(self) -> str:
        """What the figure shows, in a sentence."""
        return (inspect.getdoc(self.draw) or self.name).splitlines()[0]

    @property
    def options(self) -> tuple[str, ...]:
        """Names of what can be chosen."""
        return tuple(inspect.signature(self.draw).parameters)


_DRAWINGS = (
    Drawing(name="activations", slot="activation", draw=activations.activations),
    Drawing(name="swish", slot="activation", draw=activations.swish),
    Drawing(name="glu", slot="ffn", draw=activations.glu),
    Drawing(name="sinusoidal", slot="position", draw=positions.sinusoidal),
    Drawing(name="rope", slot="position", draw=positions.rope),
    Drawing(name="rope-scalings", slot="position", draw=positions.rope_scalings),
    Drawing(name="positions", slot="position", draw=positions.positions),
    Drawing(name="alibi", slot="position", draw=positions.alibi),
    Drawing(name="t5", slot="position", draw=positions.t5),
    Drawing(name="norms", slot="norm", draw=stability.norms),
    Drawing(name="depth", slot="residual", draw=stability.depth),
    Drawing(name="deepnorm", slot="residual", draw=stability.deepnorm),
)
FIGURES: Mapping[str, Drawing] = {drawing.name: drawing for drawing in _DRAWINGS}


def drawing(name: str) -> Drawing:
    """The figure of this name; `RequestError` for an unknown one."""
    if name not in FIGURES:
        raise RequestError(f"there is no figure {name!r}; {nearest(name, FIGURES)}")
    return FIGURES[name]


def figure_of(card: Card) -> tuple[Drawing, dict[str, Any]] | None:
    """The figure that shows a part best, and its options; None where there is none."""
    if card.slot == "activation":
        if card.name.startswith("swish"):
            return FIGURES["swish"], {}
        return (FIGURES["activations"], {"names": [card.name]}) if activations.has_curve(card.name) else None
    if card.slot == "ffn":
        name = card.options.get("activation")
        if name is None or "gate" in card.options:
            return FIGURES["glu"], {}
        return (FIGURES["activations"], {"names": [name]}) if activations.has_curve(name) else None
    if card.slot == "position":
        if card.name in FIGURES:
            return FIGURES[card.name], {}
        if card.name in ("rope_interleaved", "xpos"):
            return FIGURES["rope" if card.name != "xpos" else "positions"], {}
        return (FIGURES["rope-scalings"], {}) if card.name.startswith("rope") else None
    if card.slot == "residual":
        return FIGURES["deepnorm" if card.name == "deepnorm" else "depth"], {}
    return (FIGURES["norms"], {}) if card.slot == "norm" else None
