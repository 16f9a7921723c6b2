"""RMSNorm: scale to unit root mean square, no mean taken away."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from paribus.parts.init import Roles, constant
from paribus.registry import part


@part(
    "norm",
    "rmsnorm",
    formula=r"\frac{x}{\sqrt{\operatorname{mean}(x^2) + \epsilon}} \odot g",
    paper="arXiv:1910.07467 (Zhang & Sennrich 2019)",
    parameters="d_model",
    shapes="x [..., d_model] -> [..., d_model]; weight [d_model]",
    traps=(
        "T5 and LLaMA round to the input's dtype before the gain, gpt-oss after it; this one rounds once, at the end",
        "Gemma multiplies by 1 + g",
    ),
)
class RMSNorm(nn.Module):
    """x / sqrt(mean(x²) + eps) · g over the last axis.

    Takes x [..., d_model] of any floating dtype, computes in at least float32 and gives the shape and dtype
    of x. Source: Zhang & Sennrich 2019 (arXiv:1910.07467), equation 4.
    """

    def __init__(self, *, d_model: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(d_model))

    def forward(self, x: Tensor) -> Tensor:
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        scale = torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        return (wide * scale * self.weight).to(x.dtype)

    def roles(self) -> Roles:
        width = self.weight.numel()
        return {"weight": constant(width, 1.0)}
