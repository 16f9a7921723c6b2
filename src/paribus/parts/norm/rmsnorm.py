"""RMSNorm: scale to unit root mean square, no mean taken away."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from paribus.errors import RequestError
from paribus.parts.init import Roles, constant
from paribus.parts.norm.wide import checked_eps, checked_groups, grouped, ungrouped, widened
from paribus.registry import part

_PAPER = "arXiv:1910.07467 (Zhang & Sennrich 2019)"
_SHAPES = "x [..., d_model] -> [..., d_model]; weight [d_model]"
_DTYPE = "T5 and LLaMA round to the input's dtype before the gain, gpt-oss after it; this one rounds once, at the end"


@part(
    "norm",
    "rmsnorm",
    formula=r"\frac{x}{\sqrt{\operatorname{mean}(x^2) + \epsilon}} \odot g",
    paper=_PAPER,
    parameters="d_model",
    shapes=_SHAPES,
    traps=(
        _DTYPE,
        "Gemma multiplies by 1 + g: that is rmsnorm_offset",
        "it is a norm of Transformers; its paper tries it in recurrent networks too, LayerNorm was made for those",
    ),
)
@part(
    "norm",
    "rmsnorm_offset",
    formula=r"\frac{x}{\sqrt{\operatorname{mean}(x^2) + \epsilon}} \odot (1 + g)",
    paper=f"{_PAPER}; the gain 1 + g is Gemma's (arXiv:2403.08295, released code)",
    summary="RMSNorm with the gain 1 + g, g starting at zero",
    parameters="d_model",
    shapes=_SHAPES,
    traps=(
        "the stored weight is g, so a checkpoint read without the 1 gives next to nothing",
        "weight decay pulls the gain towards 1 here, and towards 0 in the plain form",
    ),
    options={"offset": True},
)
@part(
    "norm",
    "prmsnorm",
    formula=r"\frac{x}{\sqrt{\operatorname{mean}(x_{1..k}^2) + \epsilon}} \odot g, \quad k = \lceil p \, d \rceil",
    paper=_PAPER,
    summary="partial RMSNorm: the scale is that of the first 6.25 % of the features",
    parameters="d_model",
    shapes=_SHAPES,
    traps=(
        _DTYPE,
        "the first features stand for all of them only while nothing gives them a role of their own",
        "paper and code differ: k is rounded up in the paper, down in the authors' code, which adds eps outside the root",
    ),
    options={"fraction": 0.0625},
)
class RMSNorm(nn.Module):
    """x / sqrt(mean(x²) + eps) · g over the last axis.

    With `offset` the gain is 1 + g and g starts at zero; `fraction` p takes the mean over the first ceil(p · d)
    features only. Each of `groups` equal stretches of the features has its own mean, d being its width. Takes
    x [..., d_model] of any floating dtype, computes in at least float32 and gives the shape and dtype of x. Raises
    `RequestError` for p outside (0, 1], and unless eps is above zero and the groups are equal. Source: Zhang & Sennrich
    2019 (arXiv:1910.07467), equation 4.
    """

    def __init__(
        self, *, d_model: int, eps: float = 1e-6, offset: bool = False, fraction: float = 1.0, groups: int = 1
    ) -> None:
        super().__init__()
        if not 0 < fraction <= 1:
            raise RequestError(f"rmsnorm's fraction is a share of the features, in (0, 1]; it is {fraction}")
        self.eps, self.offset, self.groups = checked_eps(eps), offset, checked_groups(groups, d_model)
        self.counted = math.ceil(fraction * d_model / groups)
        self.weight = nn.Parameter(torch.zeros(d_model) if offset else torch.ones(d_model))

    def forward(self, x: Tensor) -> Tensor:
        wide = grouped(widened(x), self.groups)
        counted = wide if self.counted == wide.shape[-1] else wide[..., : self.counted]
        scale = torch.rsqrt(counted.square().mean(-1, keepdim=True) + self.eps)
        normed = ungrouped(wide * scale, self.groups)
        return (normed * (1 + self.weight if self.offset else self.weight)).to(x.dtype)

    def roles(self) -> Roles:
        return {"weight": constant(self.weight.numel(), 0.0 if self.offset else 1.0)}
