"""LayerNorm: zero mean and unit variance over the features of one token."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from paribus.errors import RequestError
from paribus.parts.init import Roles, constant
from paribus.parts.norm.wide import checked_eps, checked_groups, grouped, ungrouped, widened
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
        "Nemotron multiplies by 1 + g: that is layernorm_offset",
    ),
)
@part(
    "norm",
    "layernorm_offset",
    formula=r"\frac{x - \operatorname{mean}(x)}{\sqrt{\operatorname{var}(x) + \epsilon}} \odot (1 + g) + b",
    paper="arXiv:1607.06450 (Ba et al. 2016); the gain 1 + g is Nemotron's LayerNorm1P (arXiv:2402.16819, released code)",
    summary="LayerNorm with the gain 1 + g, g starting at zero",
    parameters="2 d_model",
    shapes="x [..., d_model] -> [..., d_model]; weight, bias [d_model]",
    traps=(
        "the stored weight is g, so a checkpoint read without the 1 gives next to nothing",
        "weight decay pulls the gain towards 1 here, and towards 0 in the plain form",
    ),
    options={"offset": True, "gain": True},
)
class LayerNorm(nn.Module):
    """(x - mean) / sqrt(var + eps) · g + b over the last axis, with the biased variance.

    With `offset` the gain is 1 + g and g starts at zero; without `gain` there is none (OLMo), without `bias` no b.
    Each of `groups` equal stretches of the features has its own mean and variance. Takes x [..., d_model] of any
    floating dtype, computes in at least float32 and gives the shape and dtype of x. Raises `RequestError` unless eps
    is above zero and the groups are equal. Source: Ba et al. 2016 (arXiv:1607.06450), equations 3 and 4.
    """

    def __init__(
        self,
        *,
        d_model: int,
        eps: float = 1e-5,
        gain: bool = True,
        bias: bool = True,
        offset: bool = False,
        groups: int = 1,
    ) -> None:
        super().__init__()
        if offset and not gain:
            raise RequestError(
                "layernorm's offset is of its gain, so it cannot do without one; gain is false"
            )
        self.eps, self.groups, self.offset = checked_eps(eps), checked_groups(groups, d_model), offset
        self.weight = nn.Parameter(torch.full((d_model,), 0.0 if offset else 1.0)) if gain else None
        self.bias = nn.Parameter(torch.zeros(d_model)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        wide = grouped(widened(x), self.groups)
        centred = wide - wide.mean(-1, keepdim=True)
        scale = torch.rsqrt(centred.square().mean(-1, keepdim=True) + self.eps)
        normed = ungrouped(centred * scale, self.groups)
        if self.weight is not None:
            normed = normed * (1 + self.weight if self.offset else self.weight)
        return (normed if self.bias is None else normed + self.bias).to(x.dtype)

    def roles(self) -> Roles:
        roles = {}
        if self.weight is not None:
            roles["weight"] = constant(self.weight.numel(), 0.0 if self.offset else 1.0)
        if self.bias is not None:
            roles["bias"] = constant(self.bias.numel(), 0.0)
        return roles
