"""Residual placements around sublayers that are simple maps, in every kind of stack."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from paribus import oracles
from paribus.oracles import Array, Weights
from paribus.parts.norm.layernorm import LayerNorm
from paribus.parts.residual.base import Depth
from paribus.registry import Card
from paribus.verify.bounds import LAYER
from paribus.verify.case import Case, Setting

_B, _T, _D = 2, 7, 6
#: (stack, encoder layers, decoder layers)
_STACKS: tuple[tuple[Literal["encoder", "decoder"], int, int], ...] = (
    ("decoder", 0, 3),
    ("encoder", 2, 0),
    ("encoder", 2, 3),
    ("decoder", 2, 3),
)


def cases(card: Card, setting: Setting) -> Iterator[Case]:
    """A block of a decoder, of an encoder, and of both stacks of an encoder-decoder."""
    for stack, encoder_layers, decoder_layers in _STACKS:
        crosses = stack == "decoder" and encoder_layers > 0
        if crosses and card.name.startswith("parallel"):
            continue  # such a block has no cross-attention
        names = ("attention", "cross_attention", "ffn") if crosses else ("attention", "ffn")
        depth = Depth(stack=stack, encoder_layers=encoder_layers, decoder_layers=decoder_layers)
        module = setting.place(card.build(sublayers=names, depth=depth, norm=lambda: LayerNorm(d_model=_D)))
        maps = {name: setting.tensor(_D, _D, seed=20 + index) / 2 for index, name in enumerate(names)}
        yield Case(
            name=f"{stack} of {encoder_layers} + {decoder_layers} layers",
            module=module,
            forms={"": _form(module, maps)},
            oracle=_oracle(card.name, maps, depth),
            x=setting.tensor(_B, _T, _D, seed=3),
            bounds=LAYER,
        )


def _form(module: Any, maps: Mapping[str, Tensor]) -> Callable[[Tensor], Tensor]:
    def sublayer(matrix: Tensor) -> Callable[[Tensor], Tensor]:
        return lambda x: torch.tanh(x @ matrix)

    sublayers = {name: sublayer(matrix) for name, matrix in maps.items()}
    return lambda x: module(x, sublayers)


def _oracle(name: str, maps: Mapping[str, Tensor], depth: Depth) -> Callable[[Weights, Array], Array]:
    def sublayer(matrix: Array) -> oracles.Function:
        return lambda x: np.tanh(x @ matrix)

    sublayers = {name: sublayer(matrix.cpu().double().numpy()) for name, matrix in maps.items()}
    return lambda w, x: oracles.placement(
        name,
        w,
        x,
        sublayers,
        oracles.layernorm,
        stack=depth.stack,
        encoder_layers=depth.encoder_layers,
        decoder_layers=depth.decoder_layers,
    )
