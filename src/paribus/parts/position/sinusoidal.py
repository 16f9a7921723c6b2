"""Sinusoidal absolute positions, added to the token embeddings."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor

from paribus.errors import RequestError
from paribus.parts.position.base import Position, Sizes
from paribus.registry import part


@part(
    "position",
    "sinusoidal",
    formula=r"\mathrm{PE}_{p,2i} = \sin(p / 10000^{2i/d}), \quad \mathrm{PE}_{p,2i+1} = \cos(p / 10000^{2i/d})",
    paper="arXiv:1706.03762 (Vaswani et al. 2017)",
    shapes="x [B, T, d_model] -> [B, T, d_model]",
    traps=(
        "its entries are of size 1: small embeddings drown in it, so the original multiplies them by sqrt(d_model)",
        "Transformer-XL and XLNet put all sines before all cosines: the same up to a permutation of channels",
    ),
)
class SinusoidalPosition(Position):
    """Adds sin(p / 10000^(2i/d)) to channel 2i and the cosine to channel 2i + 1.

    Raises `RequestError` for an odd d_model. Source: Vaswani et al. 2017 (arXiv:1706.03762), section 3.5.
    """

    acts_on = frozenset({"embed"})

    def __init__(self, **sizes: Unpack[Sizes]) -> None:
        super().__init__(**sizes)
        if self.d_model % 2:
            raise RequestError(
                f"sinusoidal positions pair channels, so d_model must be even; {self.d_model} is odd"
            )

    def embed(self, x_BTD: Tensor, position_T: Tensor) -> Tensor:
        return x_BTD + self.table(position_T).to(x_BTD.dtype)

    def table(self, position_T: Tensor) -> Tensor:
        """The rows of these positions, [..., T, d_model] in float32."""
        channel = torch.arange(0, self.d_model, 2, device=position_T.device, dtype=torch.float32)
        angle = position_T[..., None].float() * 10000.0 ** (-channel / self.d_model)
        return torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(-2)
