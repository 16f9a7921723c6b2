"""One way to run any part of any slot: by slot, a maker of (x -> y, the module with its parameters)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from paribus import registry
from paribus.parts.residual.base import Depth

from .attending import Attending

D, T = 8, 4
Run = Callable[[Tensor], Tensor]


def activation(name: str) -> tuple[Run, nn.Module]:
    layer = registry.get("activation", name).build(width=D).eval()
    pieces = getattr(layer, "inputs", 1)
    return lambda x: layer(torch.cat([x] * pieces, dim=-1)), layer


def ffn(name: str) -> tuple[Run, nn.Module]:
    layer = registry.get("ffn", name).build(d_model=D, d_ff=12).eval()
    return layer, layer


def norm(name: str) -> tuple[Run, nn.Module]:
    layer = registry.get("norm", name).build(d_model=D)
    return layer, layer


def residual(name: str) -> tuple[Run, nn.Module]:
    layer = registry.get("residual", name).build(
        sublayers=("attention", "ffn"),
        depth=Depth(stack="decoder", encoder_layers=0, decoder_layers=2),
        norm=lambda: registry.get("norm", "rmsnorm").build(d_model=D),
    )
    return lambda x: layer(x, {"attention": torch.sin, "ffn": torch.tanh}), layer


class Embedding(nn.Module):
    """An attention layer with a position encoding, in every place where the encoding acts."""

    def __init__(self, attending: Attending) -> None:
        super().__init__()
        self.attending = attending

    def forward(self, x: Tensor) -> Tensor:
        return self.attending(self.attending.position.embed(x, torch.arange(T)))


def position(name: str) -> tuple[Run, nn.Module]:
    layer = Embedding(Attending(position=name, longest=T, d_model=D))
    return layer, layer


def attention(name: str) -> tuple[Run, nn.Module]:
    layer = Attending(name, d_model=D)
    return layer, layer


MAKERS = {
    "activation": activation,
    "ffn": ffn,
    "norm": norm,
    "residual": residual,
    "position": position,
    "attention": attention,
}
PARTS = [(slot, name) for slot, cards in registry.catalog().items() for name in cards]
