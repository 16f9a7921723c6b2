"""Activations with something to learn, and the one that draws its slopes at random."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from paribus.errors import RequestError
from paribus.ops.activations import rounded_once
from paribus.ops.activations.smooth import swish
from paribus.parts.activation.base import Activation
from paribus.parts.init import Roles, constant
from paribus.registry import part

_SHAPES = "x [..., width] -> the same"
Per = Literal["layer", "channel"]


def _count(per: Per, width: int) -> int:
    if per not in ("layer", "channel"):
        raise RequestError(f"a learned activation has one number per layer or per channel; it is {per!r}")
    return 1 if per == "layer" else width


@part(
    "activation",
    "swish",
    formula=r"x \, \sigma(\beta x)",
    paper="arXiv:1710.05941 (Ramachandran et al. 2017)",
    parameters="0, or with a learnable beta 1 (per layer) or width (per channel)",
    shapes=f"{_SHAPES}; beta [1] or [width]",
    traps=(
        "beta 0 gives exactly x / 2, beta 1 SiLU, beta 1.702 quick GELU; beta to infinity is ReLU and never x^2",
        "most papers that say Swish mean beta 1",
    ),
)
class Swish(Activation):
    """x · sigmoid(beta · x), beta fixed or learned, one for the layer or one for each channel.

    Takes x [..., width] of any floating dtype. Raises `RequestError` for a beta that is not finite.
    Source: Ramachandran et al. 2017 (arXiv:1710.05941), section 2.
    """

    def __init__(self, *, width: int, beta: float = 1.0, learnable: bool = False, per: Per = "layer") -> None:
        super().__init__()
        if not math.isfinite(beta):
            raise RequestError(f"swish's beta must be a finite number; it is {beta}")
        count = _count(per, width)
        self.start = beta
        self.beta = nn.Parameter(torch.full((count,), beta)) if learnable else None

    def arguments(self, x: Tensor) -> tuple[Tensor, ...]:
        return () if self.beta is None else (self.beta,)

    def compute(self, x: Tensor, *arguments: Tensor) -> Tensor:
        return swish(x, *arguments) if arguments else swish(x, beta=self.start)

    def roles(self) -> Roles:
        return {} if self.beta is None else {"beta": constant(self.beta.numel(), self.start)}


@rounded_once
def _two_slopes(x: Tensor, slope: Tensor) -> Tensor:
    return torch.where(x > 0, x, slope * x)


@part(
    "activation",
    "prelu",
    formula=r"\max(x, 0) + a \min(x, 0), \quad a \text{ learned}",
    paper="arXiv:1502.01852 (He et al. 2015)",
    parameters="1 (per layer) or width (per channel)",
    shapes=f"{_SHAPES}; slope [1] or [width]",
    traps=("weight decay on the slope pulls it towards ReLU; it gets none here",),
)
class PReLU(Activation):
    """x above zero, a · x below, with a learned slope a that starts at 0.25.

    Takes x [..., width] of any floating dtype. Source: He et al. 2015 (arXiv:1502.01852), equation 1.
    """

    def __init__(self, *, width: int, slope: float = 0.25, per: Per = "layer") -> None:
        super().__init__()
        self.start = slope
        self.slope = nn.Parameter(torch.full((_count(per, width),), slope))

    def arguments(self, x: Tensor) -> tuple[Tensor, ...]:
        return (self.slope,)

    def compute(self, x: Tensor, *arguments: Tensor) -> Tensor:
        return _two_slopes(x, *arguments)

    def roles(self) -> Roles:
        return {"slope": constant(self.slope.numel(), self.start)}


@part(
    "activation",
    "rrelu",
    formula=r"\max(x, 0) + a \min(x, 0), \quad a \sim U(1/8, 1/3)",
    paper="arXiv:1505.00853 (Xu et al. 2015)",
    parameters="0",
    shapes=_SHAPES,
    traps=(
        "slopes are drawn for every element in training; scoring takes their mean, 11/48",
        "the slopes are kept for the backward pass, so it costs as much memory as another branch",
    ),
)
class RandomReLU(Activation):
    """x above zero, a · x below, with a drawn uniformly from [lower, upper] in training and its mean in scoring.

    Takes x [..., width] of any floating dtype. Raises `RequestError` unless 0 <= lower <= upper < infinity.
    Source: Xu et al. 2015 (arXiv:1505.00853), section 2.4.
    """

    mode_dependent = True

    def __init__(self, *, width: int, lower: float = 1 / 8, upper: float = 1 / 3) -> None:
        super().__init__()
        if not 0 <= lower <= upper < math.inf:
            raise RequestError(f"rrelu draws slopes from lower to upper; they are {lower} and {upper}")
        self.lower, self.upper = lower, upper

    def arguments(self, x: Tensor) -> tuple[Tensor, ...]:
        if not self.training:
            wide = torch.promote_types(x.dtype, torch.float32)  # half precision does not hold the mean
            return (x.new_full((1,), (self.lower + self.upper) / 2, dtype=wide),)
        return (self.lower + (self.upper - self.lower) * torch.rand_like(x),)

    def compute(self, x: Tensor, *arguments: Tensor) -> Tensor:
        return _two_slopes(x, *arguments)


@rounded_once
def _xielu(x: Tensor, alpha_p: Tensor, alpha_n: Tensor, *, beta: float, eps: float) -> Tensor:
    positive = nn.functional.softplus(alpha_p)
    negative = beta + nn.functional.softplus(alpha_n)
    below = x.clamp(max=eps)  # expm1 of a large x would overflow where it is not used
    return torch.where(
        x > 0, positive * x.square() + beta * x, (torch.expm1(below) - x) * negative + beta * x
    )


@part(
    "activation",
    "xielu",
    formula=r"\alpha_p x^2 + \beta x \;(x > 0), \quad \alpha_n (e^x - 1 - x) + \beta x \;(x \le 0)",
    paper="arXiv:2411.13010 (Huang & Schlag 2024)",
    parameters="2",
    shapes=f"{_SHAPES}; alpha_p, alpha_n [1]",
    traps=(
        "it is not monotone: it falls below zero and grows without bound as x goes to minus infinity",
        "what is stored goes through a softplus, and beta is added to alpha_n; both start at 0.8",
    ),
)
class XIELU(Activation):
    """alpha_p x² + beta x above zero, alpha_n (e^x - 1 - x) + beta x below, both alphas learned.

    alpha_p = softplus(raw) and alpha_n = beta + softplus(raw), beta = 0.5, start at 0.8. Takes x [..., width] of
    any floating dtype. Source: Huang & Schlag 2024 (arXiv:2411.13010), equation 10, and its released code.
    """

    _BETA, _EPS, _START = 0.5, -1e-6, 0.8

    def __init__(self, *, width: int) -> None:
        super().__init__()
        self.alpha_p = nn.Parameter(torch.full((1,), math.log(math.expm1(self._START))))
        self.alpha_n = nn.Parameter(torch.full((1,), math.log(math.expm1(self._START - self._BETA))))

    def arguments(self, x: Tensor) -> tuple[Tensor, ...]:
        return (self.alpha_p, self.alpha_n)

    def compute(self, x: Tensor, *arguments: Tensor) -> Tensor:
        return _xielu(x, *arguments, beta=self._BETA, eps=self._EPS)

    def roles(self) -> Roles:
        return {
            "alpha_p": constant(1, math.log(math.expm1(self._START))),
            "alpha_n": constant(1, math.log(math.expm1(self._START - self._BETA))),
        }


@rounded_once
def _polyrelu(x: Tensor, weight: Tensor) -> Tensor:
    x = torch.relu(x)
    return weight[0] + x * (weight[1] + x * (weight[2] + x * weight[3]))


@part(
    "activation",
    "polyrelu",
    formula=r"\textstyle\sum_{i=0}^{3} a_i \max(x, 0)^i",
    paper="arXiv:2411.03884 (Zhuo et al. 2024)",
    parameters="4",
    shapes=f"{_SHAPES}; weight [4]",
    traps=("a_0 is added below zero too, so it is a bias for every feature",),
)
class PolyReLU(Activation):
    """a_0 + a_1 r + a_2 r² + a_3 r³ with r = max(x, 0); all four are learned and start at 1/3.

    Takes x [..., width] of any floating dtype. Source: Zhuo et al. 2024 (arXiv:2411.03884), equation 5.
    """

    def __init__(self, *, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((4,), 1 / 3))

    def arguments(self, x: Tensor) -> tuple[Tensor, ...]:
        return (self.weight,)

    def compute(self, x: Tensor, *arguments: Tensor) -> Tensor:
        return _polyrelu(x, *arguments)

    def roles(self) -> Roles:
        return {"weight": constant(4, 1 / 3)}
