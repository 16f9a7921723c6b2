"""Activations where they bend, where they saturate and near zero; and the derivatives in the table of rows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from paribus import oracles
from paribus.oracles import Array, Weights
from paribus.parts.activation.pointwise import PointwiseActivation
from paribus.registry import Card
from paribus.verify.bounds import CANCELS, LAYER, ROUNDED_ONCE
from paribus.verify.case import Case, Setting
from paribus.verify.cases.variants import Options, label, variants

_T, _F = 7, 6
_TRIED: tuple[Options, ...] = (
    {"beta": 0.5},
    {"learnable": True},
    {"learnable": True, "per": "channel"},
    {"slope": 0.1, "per": "channel"},
    {"lower": 0.1, "upper": 0.5},
    {"pieces": 3},
    {"constants": {"slope": 0.2}},
    {"constants": {"bound": 0.3}},
    {"constants": {"alpha": 0.7}},
)


def cases(card: Card, setting: Setting) -> Iterator[Case]:
    """Each set of options within 3 of zero; the part's own also wide and close."""
    for options in tried(card):
        module: Any = setting.place(card.build(width=_F, **options)).eval()
        shape = (_T, getattr(module, "inputs", 1) * _F)
        case = partial(
            Case, module=module, forms={"": module}, oracle=partial(oracles.ACTIVATION[card.name], **options)
        )
        yield case(name=label(options), x=spread(setting, *shape, within=3), bounds=ROUNDED_ONCE)
        if not options:
            yield case(name="wide", x=spread(setting, *shape, within=9), bounds=ROUNDED_ONCE)
            cancels = card.name == "tanhshrink" and setting.dtype != torch.float64
            bounds = ROUNDED_ONCE.at_least(CANCELS if cancels else 0)
            yield case(name="near zero", x=spread(setting, *shape, within=3) / 32, bounds=bounds)
    yield from _derivatives(card, setting)


def tried(card: Card) -> Iterator[Options]:
    """The sets of options; constants are those of the row."""
    row = getattr(card.build(width=1), "row", None)
    for options in variants(card, _TRIED):
        if row is None or options.get("constants", {}).keys() <= row.constants.keys():
            yield options


def spread(setting: Setting, *shape: int, within: float) -> Tensor:
    """Different numbers all over (-within, within), in disorder, none near a multiple of 1/2.

    That is where activations have their corners.
    """
    count = math.prod(shape)
    even = within * ((2 * torch.arange(count, dtype=torch.float64) + 1) / count - 1)
    even = even[torch.randperm(count, generator=torch.Generator().manual_seed(0))]
    below = (2 * even).floor()
    return setting.exactly(((below + 0.125 + 0.75 * (2 * even - below)) / 2).reshape(shape))


def _derivatives(card: Card, setting: Setting) -> Iterator[Case]:
    module = card.build(width=_F)
    if not isinstance(module, PointwiseActivation):
        return
    for name in ("first", "second"):
        exact = getattr(oracles.POINTWISE[card.name], name)

        def oracle(w: Weights, x: Array, exact: oracles.Function = exact) -> Array:
            return exact(x)

        yield Case(
            name=f"{name} derivative",
            module=module,
            forms={"": getattr(module.row, name)},
            oracle=oracle,
            x=spread(setting, _T, _F, within=5),
            bounds=LAYER,
            has_gradients=False,
        )
