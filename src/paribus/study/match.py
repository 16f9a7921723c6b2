"""Equal parameters: the width of the feed-forward layer at which an arm has as many as the baseline.

Counted are the parameters of what is swapped, together with the feed-forward layers whose width gives way; the
embedding and the head would hide an error under a large vocabulary. The width is the nearest whole number and is
never rounded to a rounder one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from paribus.errors import RequestError
from paribus.model.config import ModelConfig
from paribus.model.count import on_meta
from paribus.model.transformer import slot_of

TOLERANCE = 0.005
_WIDEST = 2**24


@dataclass(frozen=True, kw_only=True)
class Match:
    """A width, the parameters counted there, and how far off the budget they are (relative)."""

    d_ff: int
    params: int
    mismatch: float


def params_in(model: ModelConfig, slots: Collection[str] | None) -> int:
    """Parameters of these slots over all layers; None: of all slots, so of all but embedding and head."""
    parameters = on_meta(model).named_parameters()
    return sum(
        parameter.numel()
        for name, parameter in parameters
        if (slot := slot_of(name)) is not None and (slots is None or slot in slots)
    )


def counter(model: ModelConfig, slots: Collection[str] | None) -> Callable[[int], int]:
    """Parameters of the slots as a function of d_ff, which only feed-forward layers read.

    Those are counted from the part built on the meta device, layer kind by layer kind; the rest is counted once.
    """
    others = [slot for slot in (slots if slots is not None else _ALL_BUT_FFN) if slot != "ffn"]
    fixed = params_in(model, others) if others else 0
    layers = sum(stack.depth.num_layers for stack in model.stacks().values())
    pattern = len(model.specs("ffn"))
    parts = [model.part("ffn", layer) for layer in range(pattern)]

    def count(d_ff: int) -> int:
        turn = sum(card.num_params(d_model=model.d_model, d_ff=d_ff, **options) for card, options in parts)
        return fixed + turn * layers // pattern

    return count


_ALL_BUT_FFN = ("attention", "norm", "residual", "position")


def nearest_width(count: Callable[[int], int], budget: int) -> int:
    """The `d_ff` at which `count`, which must not fall with it, comes nearest to `budget`."""
    low, high = 1, 2
    while high < _WIDEST and count(high) < budget:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) <= budget else (low, middle)
    return min((low, high), key=lambda d_ff: abs(count(d_ff) - budget))


def usual_width(model: ModelConfig) -> int:
    """The `d_ff` of a model that was given none: its feed-forward layers have 8 d_model² parameters each."""
    layers = sum(stack.depth.num_layers for stack in model.stacks().values())
    return nearest_width(counter(model, {"ffn"}), 8 * model.d_model**2 * layers)


def match_width(count: Callable[[int], int], *, budget: int, name: str) -> Match:
    """The `d_ff` at which `count` comes nearest to `budget` parameters.

    Raises `RequestError`, with the nearest width, when that is more than 0.5 % off.
    """
    if count(1) == count(2) and abs(count(1) / budget - 1) > TOLERANCE:
        raise RequestError(
            f"{name!r} has {count(1):,} parameters whatever d_ff is, and cannot be matched to {budget:,}; choose "
            "model.d_ff so that the baseline has as many, or match=none"
        )
    found = nearest_width(count, budget)
    params = count(found)
    mismatch = params / budget - 1
    if abs(mismatch) > TOLERANCE:
        raise RequestError(
            f"{name!r} cannot be matched to {budget:,} parameters: the nearest width, {found}, has {params:,} "
            f"({mismatch:+.2%}); a larger d_model or d_ff allows a closer match, and match=none compares as they are"
        )
    return Match(d_ff=found, params=params, mismatch=mismatch)
