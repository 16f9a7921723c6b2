"""ScaleNorm: unit length, times one learned number."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from paribus.parts.init import Roles, constant
from paribus.parts.norm.wide import checked_eps, widened
from paribus.registry import part


@part(
    "norm",
    "scalenorm",
    formula=r"g \, \frac{x}{\max(\lVert x \rVert, \epsilon)}",
    paper="arXiv:1910.05895 (Nguyen & Salazar 2019)",
    parameters="1",
    shapes="x [..., d_model] -> [..., d_model]; weight [1]",
    traps=(
        "g starts at sqrt(d_model), which makes it RMSNorm with a single gain at the start",
        "it divides by the length, not by the root mean square",
    ),
)
class ScaleNorm(nn.Module):
    """g · x / max(|x|, eps) over the last axis, with one gain g that starts at sqrt(d_model).

    Takes x [..., d_model] of any floating dtype, computes in at least float32 and gives the shape and dtype of
    x. Raises `RequestError` unless eps is above zero. Source: Nguyen & Salazar 2019 (arXiv:1910.05895).
    """

    def __init__(self, *, d_model: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps, self.start = checked_eps(eps), math.sqrt(d_model)
        self.weight = nn.Parameter(torch.full((1,), self.start))

    def forward(self, x: Tensor) -> Tensor:
        wide = widened(x)
        # The root is taken of what is bounded already: the derivative of a norm at zero would be nan.
        length = wide.square().sum(-1, keepdim=True).clamp(min=self.eps**2).sqrt()
        return (wide / length * self.weight).to(x.dtype)

    def roles(self) -> Roles:
        return {"weight": constant(1, self.start)}
