"""Activations in which the features of a token act on each other."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from paribus.errors import RequestError
from paribus.ops.activations import rounded_once
from paribus.parts.activation.base import Activation
from paribus.parts.init import Roles, constant
from paribus.registry import part

_SHAPES = "x [..., width] -> the same"


@part(
    "activation",
    "softmax",
    formula=r"e^{x_i} / \textstyle\sum_j e^{x_j}",
    paper="Bridle 1990",
    parameters="0",
    shapes=_SHAPES,
    traps=(
        "over the features of one token, not over tokens",
        "its outputs sum to one, so a wide layer passes on next to nothing at the start",
    ),
)
class Softmax(Activation):
    """exp(x) over its sum along the last axis: x [..., width] of any floating dtype, the same out.

    Source: Bridle 1990 (Probabilistic interpretation of feedforward classification network outputs).
    """

    pointwise = False

    def __init__(self, *, width: int) -> None:
        super().__init__()

    def compute(self, x: Tensor, *arguments: Tensor) -> Tensor:
        return torch.softmax(x, dim=-1)


@part(
    "activation",
    "maxout",
    formula=r"\max_{k} x_{i + k \cdot \text{width}}",
    paper="arXiv:1302.4389 (Goodfellow et al. 2013)",
    parameters="0, and the layer before it is `pieces` times as wide",
    shapes="x [..., pieces width] -> [..., width]",
    traps=(
        "with 2 pieces the matrix before it has twice the parameters, so take 2/3 of the width to compare",
    ),
)
class Maxout(Activation):
    """The largest of `pieces` features: output i is the maximum of inputs i, i + width, i + 2 width, ...

    Takes x [..., pieces · width] of any floating dtype and gives [..., width]. Raises `RequestError` for fewer
    than 2 pieces. Source: Goodfellow et al. 2013 (arXiv:1302.4389), equation 1.
    """

    pointwise = False

    def __init__(self, *, width: int, pieces: int = 2) -> None:
        super().__init__()
        if pieces < 2:
            raise RequestError(f"maxout takes the largest of at least 2 pieces; it is {pieces}")
        self.inputs = pieces

    def compute(self, x: Tensor, *arguments: Tensor) -> Tensor:
        return x.unflatten(-1, (self.inputs, x.shape[-1] // self.inputs)).amax(-2)


@rounded_once
def _polynorm(x: Tensor, weight: Tensor, bias: Tensor, *, eps: float) -> Tensor:
    total = bias
    for power in range(1, 4):
        raised = x**power
        scale = torch.rsqrt(raised.square().mean(-1, keepdim=True) + eps)
        total = total + weight[power - 1] * raised * scale
    return total


@part(
    "activation",
    "polynorm",
    formula=r"b + \textstyle\sum_{i=1}^{3} a_i \, x^i / \operatorname{RMS}(x^i)",
    paper="arXiv:2411.03884 (Zhuo et al. 2024)",
    parameters="4",
    shapes=f"{_SHAPES}; weight [3], bias [1]",
    traps=(
        "each power is normalised over the features, so it is no pointwise function",
        "the paper writes a norm, its code divides by the root mean square",
    ),
)
class PolyNorm(Activation):
    """b + a_1 x / RMS(x) + a_2 x² / RMS(x²) + a_3 x³ / RMS(x³), RMS over the features; a starts at 1/3, b at 0.

    Takes x [..., width] of any floating dtype. Source: Zhuo et al. 2024 (arXiv:2411.03884), equation 6, and its
    released code.
    """

    pointwise = False
    _EPS = 1e-6

    def __init__(self, *, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((3,), 1 / 3))
        self.bias = nn.Parameter(torch.zeros(1))

    def arguments(self, x: Tensor) -> tuple[Tensor, ...]:
        return (self.weight, self.bias)

    def compute(self, x: Tensor, *arguments: Tensor) -> Tensor:
        return _polynorm(x, *arguments, eps=self._EPS)

    def roles(self) -> Roles:
        return {"weight": constant(3, 1 / 3), "bias": constant(1, 0.0)}
