"""Where an activation has gone flat: a fact of the function, found by trying it.

No list of names: what a user brings is treated like what we ship, and a learned activation is judged as it is now.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from paribus.model.hidden_rms import acts_on_each_feature

_SHARE = 0.01  # of the largest derivative, or of the range of values


def derivative(activation: nn.Module, x: Tensor) -> Tensor:
    """act'(x) for an activation that acts on each feature by itself, in the shape of x."""
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        return torch.autograd.grad(activation(x).sum(), x)[0]


def vanishes(activation: nn.Module, *, width: int) -> bool:
    """Whether the activation is exactly 0 on an interval, as ReLU is; no activation is so far from 0 only."""
    grid = _grid(activation, torch.linspace(-4, 4, 65), width)
    with torch.no_grad():
        zero = activation(grid) == 0
    return bool((zero[1:] & zero[:-1]).any())


@dataclass(frozen=True, kw_only=True, eq=False)
class Saturation:
    """When a pre-activation counts as saturated.

    An activation between two limits (sigmoid, tanh): its output within 1 % of their distance from one of them.
    Another: its derivative below 1 % of the largest. `low` and `high` or `steepest` are [width].
    """

    activation: nn.Module
    low: Tensor | None = None
    high: Tensor | None = None
    steepest: Tensor | None = None

    @classmethod
    def of(cls, activation: nn.Module, *, width: int) -> Saturation | None:
        """None where it has no meaning: features that act on each other, straight lines, no largest derivative."""
        if not acts_on_each_feature(activation, width=width):
            return None
        ends = _grid(activation, torch.tensor([-1e3, -1e2, 1e2, 1e3]), width)
        with torch.no_grad():
            farthest, far, high, highest = activation(ends).unbind()
        reach = (highest - farthest).abs()
        flat = ((far - farthest).abs() <= 1e-3 * reach) & ((highest - high).abs() <= 1e-3 * reach)
        if bool((flat & (reach > 0)).all()):
            return cls(
                activation=activation,
                low=torch.minimum(farthest, highest),
                high=torch.maximum(farthest, highest),
            )
        line, far_out = torch.linspace(-10, 10, 401), torch.logspace(-3, 2, 101)
        slopes = derivative(activation, _grid(activation, torch.cat((line, far_out, -far_out)), width)).abs()
        steepest = slopes.amax(0)
        beyond = derivative(activation, ends).abs().amax(0)
        straight = slopes.amin(0) >= 0.999 * steepest
        if bool((straight | (beyond > 1.01 * steepest) | ~steepest.isfinite() | ~beyond.isfinite()).any()):
            return None
        return cls(activation=activation, steepest=steepest)

    def count(self, x: Tensor) -> int:
        """How many of the pre-activations [..., width] are saturated."""
        if self.steepest is not None:
            return int((derivative(self.activation, x).abs() < _SHARE * self.steepest.to(x.device)).sum())
        assert self.low is not None and self.high is not None
        low, high = self.low.to(x.device), self.high.to(x.device)
        margin = _SHARE * (high - low)
        with torch.no_grad():
            value = self.activation(x)
        return int(((value < low + margin) | (value > high - margin)).sum())


def _grid(activation: nn.Module, points: Tensor, width: int) -> Tensor:
    """[points, width] where the activation lives: each channel may have learned something else."""
    parameter = next(activation.parameters(), torch.empty(0))
    points = points.to(device=parameter.device, dtype=parameter.dtype)
    return points[:, None].expand(-1, width * getattr(activation, "inputs", 1)).contiguous()
