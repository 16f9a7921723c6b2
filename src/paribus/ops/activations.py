"""The activation table: every pointwise function once, with its first and second derivative.

From these rows come the ungated and the gated feed-forward layers, the figures that `explain` prints and
the derivatives that the tests hold autograd to. A row is plain torch and works for every floating dtype;
what a layer does with it (gating, checkpointing) does not belong here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from paribus.errors import RequestError, nearest

Pointwise = Callable[[Tensor], Tensor]

_SQRT_HALF = math.sqrt(0.5)
_NORMAL_PEAK = 1 / math.sqrt(2 * math.pi)  # the standard normal density at 0


@dataclass(frozen=True, kw_only=True)
class Activation:
    """One pointwise function: `value`, `first` and `second` map a tensor to a tensor of the same shape."""

    name: str
    formula: str
    value: Pointwise
    first: Pointwise
    second: Pointwise


def _identity(x: Tensor) -> Tensor:
    return x


def _relu2(x: Tensor) -> Tensor:
    return F.relu(x).square()


def _relu2_first(x: Tensor) -> Tensor:
    return 2 * F.relu(x)


def _relu2_second(x: Tensor) -> Tensor:
    return 2 * _relu_step(x)


def _relu_step(x: Tensor) -> Tensor:
    return (x > 0).to(x.dtype)  # 0 at 0, as torch's relu has it


def _sigmoid_first(x: Tensor) -> Tensor:
    s = torch.sigmoid(x)
    return s * (1 - s)


def _sigmoid_second(x: Tensor) -> Tensor:
    s = torch.sigmoid(x)
    return s * (1 - s) * (1 - 2 * s)


def _tanh_first(x: Tensor) -> Tensor:
    return 1 - torch.tanh(x).square()


def _tanh_second(x: Tensor) -> Tensor:
    t = torch.tanh(x)
    return -2 * t * (1 - t.square())


def _normal_cdf(x: Tensor) -> Tensor:
    return 0.5 * torch.erfc(-_SQRT_HALF * x)


def _normal_density(x: Tensor) -> Tensor:
    return _NORMAL_PEAK * torch.exp(-0.5 * x.square())


def _gelu_first(x: Tensor) -> Tensor:
    return _normal_cdf(x) + x * _normal_density(x)


def _gelu_second(x: Tensor) -> Tensor:
    return (2 - x.square()) * _normal_density(x)


def _silu_first(x: Tensor) -> Tensor:
    return torch.sigmoid(x) + x * _sigmoid_first(x)


def _silu_second(x: Tensor) -> Tensor:
    return 2 * _sigmoid_first(x) + x * _sigmoid_second(x)


_ROWS = (
    Activation(name="identity", formula="x", value=_identity, first=torch.ones_like, second=torch.zeros_like),
    Activation(
        name="sigmoid",
        formula=r"\sigma(x) = 1 / (1 + e^{-x})",
        value=torch.sigmoid,
        first=_sigmoid_first,
        second=_sigmoid_second,
    ),
    Activation(name="tanh", formula=r"\tanh(x)", value=torch.tanh, first=_tanh_first, second=_tanh_second),
    Activation(name="relu", formula=r"\max(x, 0)", value=F.relu, first=_relu_step, second=torch.zeros_like),
    Activation(
        name="relu2",
        formula=r"\max(x, 0)^2",
        value=_relu2,
        first=_relu2_first,
        second=_relu2_second,
    ),
    Activation(
        name="gelu",
        formula=r"x \, \Phi(x) = x \, (1 + \operatorname{erf}(x / \sqrt{2})) / 2",
        value=F.gelu,
        first=_gelu_first,
        second=_gelu_second,
    ),
    Activation(name="silu", formula=r"x \, \sigma(x)", value=F.silu, first=_silu_first, second=_silu_second),
)

ACTIVATIONS = {row.name: row for row in _ROWS}
_ALIASES = {"swish": "silu"}


def activation(name: str) -> Activation:
    """The row of this name (`swish` is `silu`); raises `RequestError` for an unknown name."""
    row = ACTIVATIONS.get(_ALIASES.get(name, name))
    if row is None:
        raise RequestError(
            f"there is no activation called {name!r}; {nearest(name, [*ACTIVATIONS, *_ALIASES])}"
        )
    return row
