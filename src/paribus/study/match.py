"""Equal parameters: the width at which a part has as many parameters as the baseline's part.

Only the swapped slot is counted: totals would hide an error of the slot under a large vocabulary. The width
is the nearest whole number and is never rounded to a rounder one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from paribus.errors import RequestError
from paribus.registry import Card

TOLERANCE = 0.005
_WIDEST = 2**24


@dataclass(frozen=True, kw_only=True)
class Match:
    """A width, the parameters of one layer's part there, and how far off the budget they are (relative)."""

    d_ff: int
    params: int
    mismatch: float


def match_width(card: Card, options: Mapping[str, Any], *, d_model: int, budget: int) -> Match:
    """The `d_ff` at which the part comes nearest to `budget` parameters.

    Counts are taken from the part built on the meta device; the search only assumes that they do not fall
    with the width. Raises `RequestError` when the nearest is more than 0.5 % off.
    """

    def count(d_ff: int) -> int:
        return card.num_params(d_model=d_model, d_ff=d_ff, **options)

    if count(1) == count(2) and abs(count(1) / budget - 1) > TOLERANCE:
        raise RequestError(
            f"{card.slot} {card.name!r} has {count(1):,} parameters a layer whatever d_ff is, and cannot be matched "
            f"to {budget:,}; choose model.d_ff so that the baseline has as many"
        )
    low, high = 1, 2
    while high < _WIDEST and count(high) < budget:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) <= budget else (low, middle)
    found = min((low, high), key=lambda d_ff: abs(count(d_ff) - budget))
    params = count(found)
    mismatch = params / budget - 1
    if abs(mismatch) > TOLERANCE:
        raise RequestError(
            f"{card.slot} {card.name!r} cannot be matched to {budget:,} parameters a layer: the nearest width, "
            f"{found}, has {params:,} ({mismatch:+.2%}); a larger d_model or d_ff allows a closer match"
        )
    return Match(d_ff=found, params=params, mismatch=mismatch)
