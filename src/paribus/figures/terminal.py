"""Curves in a terminal: braille dots, two by four to a character."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch

from paribus.figures import activations, positions
from paribus.registry import Card

_WIDTH, _HEIGHT = 56, 12  # characters
_BLANK = 0x2800
#: Bit of each dot of a braille character, by column and row.
_BITS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))


def curve_of(card: Card) -> str | None:
    """The curve that shows a part best, as lines of text; None where there is none."""
    name = (
        card.name if card.slot == "activation" else card.options.get("gate", card.options.get("activation"))
    )
    if card.slot in ("activation", "ffn") and isinstance(name, str) and activations.has_curve(name):
        drawn = activations.curves(name)
        title = (
            "value ⠒ and derivative ⠐" if card.slot == "activation" else f"{name}: value ⠒ and derivative ⠐"
        )
        series = {"value": drawn["value"], "derivative": drawn["derivative"][::3]}
        return plot(drawn["x"], series, title=title, low=-1.5, high=4.0)
    if card.slot == "position" and card.name.startswith("rope"):
        theta = positions.rotary(card.name).frequencies(length=1, device=torch.device("cpu"))
        waves = [math.log10(2 * math.pi / each) for each in theta.tolist()]
        return plot(list(range(len(waves))), {"": waves}, title="tokens for one turn, log10, by pair")
    if card.slot == "position" and card.name == "alibi":
        slopes = [math.log2(each) for each in positions.alibi_slopes(16)]
        return plot(list(range(1, 17)), {"": slopes}, title="slope by head of 16, log2")
    return None


def plot(
    x: Sequence[float],
    series: Mapping[str, Sequence[float]],
    *,
    title: str,
    low: float | None = None,
    high: float | None = None,
) -> str:
    """Lines of braille dots over evenly spaced x, each series spread over the whole width.

    Values outside [low, high] are left out; by default the ends are those of the data.
    """
    values = [value for line in series.values() for value in line]
    bottom = min(values) if low is None else low
    top = max(values) if high is None else high
    span = (top - bottom) or 1.0
    cells = [[_BLANK] * _WIDTH for _ in range(_HEIGHT)]
    for line in series.values():
        for index, value in enumerate(line):
            if not bottom <= value <= top:
                continue
            across = round(index / max(len(line) - 1, 1) * (2 * _WIDTH - 1))
            down = round((top - value) / span * (4 * _HEIGHT - 1))
            cells[down // 4][across // 2] |= _BITS[across % 2][down % 4]
    rows = ["".join(map(chr, row)) for row in cells]
    edge = max(len(f"{end:.3g}") for end in (bottom, top))
    labels = {0: f"{top:.3g}", _HEIGHT - 1: f"{bottom:.3g}"}
    body = [f"{labels.get(number, ''):>{edge}} │{row}" for number, row in enumerate(rows)]
    foot = f"{'':>{edge}} └{x[0]:<{_WIDTH - 6}.3g}{x[-1]:>6.3g}"
    return "\n".join([f"{'':>{edge}}  {title}", *body, foot])
