"""LayerNorm: zero mean and unit variance over the features of one token."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from paribus.parts.init import Roles, constant
from paribus.parts.norm.wide import checked_eps, widened
from paribus.registry import part


@part(
    "norm",
    "layernorm",
    formula=r"\frac{x - \operatorname{mean}(x)}{\sqrt{\operatorname{var}(x) + \epsilon}} \odot g + b",
    paper="arXiv:1607.06450 (Ba et al. 2016)",
    parameters="2 d_model",
    shapes="x [..., d_model] -> [..., d_model]; weight, bias [d_model]",
    traps=(
        "the variance is the biased one (divide by d_model)",
        "eps stands inside the square root",
        "it was made for recurrent networks; it is not the norm of convolutional ones",
        "'GPT-Norm after each sublayer' does not exist: GPT-1 is post-norm and GPT-2 pre-norm, both with this norm",
        "XLNet's norm is this one over the last axis; there is no token-wise and segment-wise pair",
    ),
)
class LayerNorm(nn.Module):
    """(x - mean) / sqrt(var + eps) · g + b over the last axis, with the biased variance.

    Takes x [..., d_model] of any floating dtype, computes in at least float32 and gives the shape and dtype
    of x. Raises `RequestError` unless eps is above zero. Source: Ba et al. 2016 (arXiv:1607.06450), equations
    3 and 4.
    """

    def __init__(self, *, d_model: int, eps: float = 1e-5, bias: bool = True) -> None:
        super().__init__()
        self.eps = checked_eps(eps)
        self.weight = nn.Parameter(torch.ones(d_model))
        self.bias = nn.Parameter(torch.zeros(d_model)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        wide = widened(x)
        centred = wide - wide.mean(-1, keepdim=True)
        scale = torch.rsqrt(centred.square().mean(-1, keepdim=True) + self.eps)
        normed = centred * scale * self.weight
        return (normed if self.bias is None else normed + self.bias).to(x.dtype)

    def roles(self) -> Roles:
        width = self.weight.numel()
        roles = {"weight": constant(width, 1.0)}
        if self.bias is not None:
            roles["bias"] = constant(width, 0.0)
        return roles
