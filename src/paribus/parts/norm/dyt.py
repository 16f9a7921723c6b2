"""Dynamic tanh: a squashing of each feature by itself in the place of a norm."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from paribus.errors import RequestError
from paribus.parts.init import Roles, constant
from paribus.parts.norm.wide import widened
from paribus.registry import part


@part(
    "norm",
    "dyt",
    formula=r"\tanh(\alpha x) \odot g + b",
    paper="arXiv:2503.10622 (Zhu et al. 2025)",
    parameters="2 d_model + 1",
    shapes="x [..., d_model] -> [..., d_model]; alpha [1], weight, bias [d_model]",
    traps=(
        "alpha's start differs by place and size; the authors' LLaMA has, for attention and for the rest: 7B 0.8 and 0.2, 13B 0.6 and 0.15, 34B and 70B 0.2 and 0.05",
        "its rank depends on the amount of data: better than LayerNorm at 1 M tokens and worse at 118 M in one 64 M model, so a small study can give the wrong sign; where a Llama collapsed, the fault lay in SwiGLU's gating",
        "nothing bounds what goes in: it is no norm, and a stream that grows saturates it",
    ),
)
class DynamicTanh(nn.Module):
    """tanh(alpha · x) · g + b, with one learned alpha.

    Takes x [..., d_model] of any floating dtype, computes in at least float32 and gives the shape and dtype of
    x. `alpha` is where alpha starts. Raises `RequestError` for one that is not finite. The LLaMA form has no b
    (`bias`: false). Source: Zhu et al. 2025 (arXiv:2503.10622), algorithm 1.
    """

    def __init__(self, *, d_model: int, alpha: float = 0.5, bias: bool = True) -> None:
        super().__init__()
        if not math.isfinite(alpha):
            raise RequestError(f"dyt's alpha must be a finite number; it is {alpha}")
        self.start = alpha
        self.alpha = nn.Parameter(torch.full((1,), alpha))
        self.weight = nn.Parameter(torch.ones(d_model))
        self.bias = nn.Parameter(torch.zeros(d_model)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        squashed = torch.tanh(self.alpha * widened(x)) * self.weight
        return (squashed if self.bias is None else squashed + self.bias).to(x.dtype)

    def roles(self) -> Roles:
        width = self.weight.numel()
        roles = {"alpha": constant(1, self.start), "weight": constant(width, 1.0)}
        return roles if self.bias is None else {**roles, "bias": constant(width, 0.0)}
