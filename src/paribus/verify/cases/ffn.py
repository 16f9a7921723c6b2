"""Feed-forward layers, on tokens whose hidden features stay away from the corners of activations.

In half precision a hidden feature may be rounded across a corner, which turns a derivative on or off. That is
no error of the layer, so the tokens are chosen such that it does not happen.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from paribus import oracles
from paribus.parts.norm.layernorm import LayerNorm
from paribus.registry import Card
from paribus.verify.bounds import LAYER
from paribus.verify.case import Case, Setting
from paribus.verify.cases.variants import Options, label, variants

_B, _T, _D, _F = 2, 7, 6, 10
_CANDIDATES = 1000
_MARGIN = 0.02  # above half a unit of bfloat16 in [4, 8); no corner lies beyond 7
_TRIED: tuple[Options, ...] = (
    {"bias": True},
    {"memory": "none"},
    {"depth": 3},
    {"activation": "swish", "activation_options": {"beta": 0.5}},
    {
        "gate": "swish",
        "gate_options": {"learnable": True},
        "value": "prelu",
        "value_options": {"per": "channel"},
        "bias": True,
        "memory": "half",
    },
)


def cases(card: Card, setting: Setting) -> Iterator[Case]:
    """Each set of options on tokens of unit size; the part's own also on six times larger ones."""
    for options in tried(card):
        module = setting.place(card.build(d_model=_D, d_ff=_F, **options)).eval()
        case = partial(
            Case,
            module=module,
            forms={"": module},
            oracle=partial(oracles.FFN_LAYER[card.name], **_of_formula(options)),
            bounds=LAYER,
        )
        yield case(name=label(options), x=clear_tokens(module, setting, size=1))
        if not options:
            yield case(name="wide", x=clear_tokens(module, setting, size=6))


def tried(card: Card) -> Iterator[Options]:
    """The sets of options."""
    return variants(card, _TRIED)


def _of_formula(options: Options) -> dict[str, Any]:
    """The options without what a layer keeps, which is not part of what it computes."""
    return {name: value for name, value in options.items() if name != "memory"}


def clear_tokens(module: nn.Module, setting: Setting, *, size: int) -> Tensor:
    """x [B, T, d_model], normal numbers of this size, with no hidden feature near a corner.

    Corners lie at multiples of 1/2 of what an activation reads, at zero after a norm (where a ReLU follows), and
    where two pieces of a maximum are alike.
    """
    candidates = setting.exactly(setting.tensor(_CANDIDATES, _D, seed=3) * size).cpu()
    clear = torch.ones(_CANDIDATES, dtype=torch.bool)

    def keep(distance: Tensor) -> None:
        clear.logical_and_((distance.abs() > _MARGIN).all(-1))

    def reads(_: nn.Module, x: object, y: Tensor) -> None:
        keep(y - (2 * y).round() / 2)
        if y.shape[-1] > _F:
            keep(y[:, :_F] - y[:, _F : 2 * _F])

    inside = copy.deepcopy(module).cpu().double()
    for name, layer in inside.named_modules():
        if isinstance(layer, LayerNorm):
            layer.register_forward_hook(lambda _, x, y: keep(y))
        elif name in ("up", "gate", "value"):
            layer.register_forward_hook(reads)
    with torch.no_grad():
        inside(candidates.double())
    return candidates[clear][: _B * _T].reshape(_B, _T, _D).to(setting.device)
