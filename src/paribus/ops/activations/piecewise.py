"""Activations made of straight lines and parabolas.

At a corner, where no derivative exists, rows follow torch's choice for the value's own backward pass.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from paribus.ops.activations.row import Activation, rounded_once, where_above, where_between


def _identity(x: Tensor) -> Tensor:
    return x


def _relu_first(x: Tensor) -> Tensor:
    return where_above(x, 0)  # 0 at 0, as torch's relu has it


def _relu2(x: Tensor) -> Tensor:
    return F.relu(x).square()


def _relu2_first(x: Tensor) -> Tensor:
    return 2 * F.relu(x)


def _relu2_second(x: Tensor) -> Tensor:
    return 2 * where_above(x, 0)


def _relu6_first(x: Tensor) -> Tensor:
    return where_between(x, 0, 6)


def _leaky_relu(x: Tensor, slope: float = 0.01) -> Tensor:
    return F.leaky_relu(x, slope)


def _leaky_relu_first(x: Tensor, slope: float = 0.01) -> Tensor:
    return torch.where(x > 0, torch.ones_like(x), torch.full_like(x, slope))


def _no_second(x: Tensor, **constants: float) -> Tensor:
    return torch.zeros_like(x)


@rounded_once
def _hardsigmoid(x: Tensor) -> Tensor:
    return (x / 6 + 0.5).clamp(0, 1)


def _hardsigmoid_first(x: Tensor) -> Tensor:
    return where_between(x, -3, 3) / 6


def _hardtanh(x: Tensor) -> Tensor:
    return x.clamp(-1, 1)


def _hardtanh_first(x: Tensor) -> Tensor:
    return where_between(x, -1, 1)


@rounded_once
def _hardswish(x: Tensor) -> Tensor:
    return x * (x / 6 + 0.5).clamp(0, 1)


@rounded_once
def _hardswish_first(x: Tensor) -> Tensor:
    return where_above(x, 3) + where_between(x, -3, 3) * (x / 3 + 0.5)


def _hardswish_second(x: Tensor) -> Tensor:
    return where_between(x, -3, 3) / 3


def _hardshrink(x: Tensor, bound: float = 0.5) -> Tensor:
    return torch.where(x.abs() > bound, x, torch.zeros_like(x))


@rounded_once
def _softshrink(x: Tensor, bound: float = 0.5) -> Tensor:
    return x - x.clamp(-bound, bound)


def _shrink_first(x: Tensor, bound: float = 0.5) -> Tensor:
    return where_above(x.abs(), bound)


ROWS = (
    Activation(name="identity", formula="x", value=_identity, first=torch.ones_like, second=torch.zeros_like),
    Activation(name="relu", formula=r"\max(x, 0)", value=F.relu, first=_relu_first, second=torch.zeros_like),
    Activation(name="relu2", formula=r"\max(x, 0)^2", value=_relu2, first=_relu2_first, second=_relu2_second),
    Activation(
        name="relu6", formula=r"\min(\max(x, 0), 6)", value=F.relu6, first=_relu6_first, second=_no_second
    ),
    Activation(
        name="leaky_relu",
        formula=r"\max(x, 0) + a \min(x, 0), \quad a = 0.01",
        value=_leaky_relu,
        first=_leaky_relu_first,
        second=_no_second,
        constants={"slope": 0.01},
    ),
    Activation(
        name="hardsigmoid",
        formula=r"\operatorname{clip}(x / 6 + 1/2, 0, 1)",
        value=_hardsigmoid,
        first=_hardsigmoid_first,
        second=_no_second,
    ),
    Activation(
        name="hardtanh",
        formula=r"\operatorname{clip}(x, -1, 1)",
        value=_hardtanh,
        first=_hardtanh_first,
        second=_no_second,
    ),
    Activation(
        name="hardswish",
        formula=r"x \, \operatorname{clip}(x / 6 + 1/2, 0, 1)",
        value=_hardswish,
        first=_hardswish_first,
        second=_hardswish_second,
    ),
    Activation(
        name="hardshrink",
        formula=r"x \text{ where } \lvert x \rvert > \lambda, \text{ else } 0, \quad \lambda = 0.5",
        value=_hardshrink,
        first=_shrink_first,
        second=_no_second,
        constants={"bound": 0.5},
    ),
    Activation(
        name="softshrink",
        formula=r"x - \operatorname{clip}(x, -\lambda, \lambda), \quad \lambda = 0.5",
        value=_softshrink,
        first=_shrink_first,
        second=_no_second,
        constants={"bound": 0.5},
    ),
)
