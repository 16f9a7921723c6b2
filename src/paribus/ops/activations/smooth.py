"""Activations with derivatives of every order: the sigmoid family, GELU in three forms, the exponential units."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from paribus.ops.activations.row import Activation, Pointwise, rounded_once

_SQRT_HALF = math.sqrt(0.5)
_NORMAL_PEAK = 1 / math.sqrt(2 * math.pi)  # the standard normal density at 0
_GELU_TANH_SLOPE, _GELU_TANH_CUBE = math.sqrt(2 / math.pi), 0.044715
_GELU_QUICK_BETA = 1.702
# Klambauer et al. 2017, section 2: they keep zero mean and unit variance.
_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


def _sigmoid_first(x: Tensor) -> Tensor:
    return torch.sigmoid(x) * torch.sigmoid(-x)  # 1 - sigma would cancel for large x


def _sigmoid_second(x: Tensor) -> Tensor:
    return _sigmoid_first(x) * (torch.sigmoid(-x) - torch.sigmoid(x))


def _tanh_first(x: Tensor) -> Tensor:
    return 4 * _sigmoid_first(2 * x)  # 1 - tanh^2 would cancel for large x


def _tanh_second(x: Tensor) -> Tensor:
    return -2 * torch.tanh(x) * _tanh_first(x)


@rounded_once
def _tanhshrink(x: Tensor) -> Tensor:
    return x - torch.tanh(x)


def _tanhshrink_first(x: Tensor) -> Tensor:
    return torch.tanh(x).square()


def _tanhshrink_second(x: Tensor) -> Tensor:
    return -_tanh_second(x)


@rounded_once
def softplus(x: Tensor) -> Tensor:
    """ln(1 + e^x); torch's own turns into x above 20 and is off by 2e-9 there."""
    return torch.logaddexp(x, torch.zeros_like(x))


def normal_cdf(x: Tensor) -> Tensor:
    """Phi(x), by erfc: 1 + erf would cancel in the left tail."""
    return 0.5 * torch.erfc(-_SQRT_HALF * x)


#: Beyond, a normal density is no number but 0, and the square of x still one in float16.
_NORMAL_ENDS = 200.0


def _normal_density(x: Tensor) -> Tensor:
    return _NORMAL_PEAK * torch.exp(-0.5 * x.square())


def _gelu_first(x: Tensor) -> Tensor:
    return normal_cdf(x) + x * _normal_density(x)


def _gelu_second(x: Tensor) -> Tensor:
    x = x.clamp(-_NORMAL_ENDS, _NORMAL_ENDS)
    return (2 - x.square()) * _normal_density(x)


def _gelu_tanh(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh")


def gelu_tanh_inside(x: Tensor) -> tuple[Tensor, Tensor]:
    """The argument of the tanh in the tanh form of GELU, and its derivative."""
    inside = _GELU_TANH_SLOPE * (x + _GELU_TANH_CUBE * x**3)
    return inside, _GELU_TANH_SLOPE * (1 + 3 * _GELU_TANH_CUBE * x.square())


@rounded_once
def _gelu_tanh_first(x: Tensor) -> Tensor:
    inside, slope = gelu_tanh_inside(x)
    # (1 + tanh u) / 2 is sigma(2u), which does not cancel in the left tail; its derivative is 2 sigma'(2u).
    return torch.sigmoid(2 * inside) + x * 2 * _sigmoid_first(2 * inside) * slope


@rounded_once
def _gelu_tanh_second(x: Tensor) -> Tensor:
    inside, slope = gelu_tanh_inside(x)
    bend = 6 * _GELU_TANH_SLOPE * _GELU_TANH_CUBE * x
    curved = 4 * _sigmoid_second(2 * inside) * slope.square() + 2 * _sigmoid_first(2 * inside) * bend
    return 4 * _sigmoid_first(2 * inside) * slope + x * curved


@rounded_once
def swish(x: Tensor, beta: Tensor | float = 1.0) -> Tensor:
    """x sigma(beta x); beta 0 is x / 2, 1 is SiLU, 1.702 quick GELU, infinity ReLU."""
    return x * torch.sigmoid(beta * x)


@rounded_once
def swish_first(x: Tensor, beta: Tensor | float = 1.0) -> Tensor:
    """Derivative of `swish` by x."""
    return torch.sigmoid(beta * x) + beta * x * _sigmoid_first(beta * x)


@rounded_once
def swish_second(x: Tensor, beta: Tensor | float = 1.0) -> Tensor:
    """Second derivative of `swish` by x."""
    return 2 * beta * _sigmoid_first(beta * x) + beta * beta * x * _sigmoid_second(beta * x)


@rounded_once
def swish_by_beta(x: Tensor, beta: Tensor | float = 1.0) -> Tensor:
    """Derivative of `swish` by beta."""
    return x.square() * _sigmoid_first(beta * x)


def _silu_first(x: Tensor) -> Tensor:
    return torch.sigmoid(x) + x * _sigmoid_first(x)


def _silu_second(x: Tensor) -> Tensor:
    return 2 * _sigmoid_first(x) + x * _sigmoid_second(x)


def _gelu_quick(x: Tensor) -> Tensor:
    return swish(x, beta=_GELU_QUICK_BETA)


def _gelu_quick_first(x: Tensor) -> Tensor:
    return swish_first(x, beta=_GELU_QUICK_BETA)


def _gelu_quick_second(x: Tensor) -> Tensor:
    return swish_second(x, beta=_GELU_QUICK_BETA)


@rounded_once
def _mish(x: Tensor) -> Tensor:
    return x * torch.tanh(softplus(x))


def _mish_steepness(x: Tensor) -> Tensor:
    """Derivative of tanh(softplus(x)); 1 - tanh(p)^2 is 4 sigma'(2p), which does not cancel."""
    return 4 * _sigmoid_first(2 * softplus(x)) * torch.sigmoid(x)


@rounded_once
def _mish_first(x: Tensor) -> Tensor:
    return torch.tanh(softplus(x)) + x * _mish_steepness(x)


@rounded_once
def _mish_second(x: Tensor) -> Tensor:
    bend = torch.sigmoid(-x) - 2 * torch.tanh(softplus(x)) * torch.sigmoid(x)
    return _mish_steepness(x) * (2 + x * bend)


def _expm1_below(x: Tensor, alpha: float) -> Tensor:
    """alpha (e^(x / alpha) - 1) where x is below zero, else 0; large x cannot overflow it."""
    return alpha * torch.expm1(x.clamp(max=0) / alpha)


@rounded_once
def _elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    return F.relu(x) + alpha * _expm1_below(x, 1.0)


@rounded_once
def _elu_first(x: Tensor, alpha: float = 1.0) -> Tensor:
    return torch.where(x > 0, torch.ones_like(x), alpha * torch.exp(x.clamp(max=0)))


@rounded_once
def _elu_second(x: Tensor, alpha: float = 1.0) -> Tensor:
    return torch.where(x > 0, torch.zeros_like(x), alpha * torch.exp(x.clamp(max=0)))


@rounded_once
def _celu(x: Tensor, alpha: float = 1.0) -> Tensor:
    return F.relu(x) + _expm1_below(x, alpha)


@rounded_once
def _celu_first(x: Tensor, alpha: float = 1.0) -> Tensor:
    return torch.where(x > 0, torch.ones_like(x), torch.exp(x.clamp(max=0) / alpha))


@rounded_once
def _celu_second(x: Tensor, alpha: float = 1.0) -> Tensor:
    return torch.where(x > 0, torch.zeros_like(x), torch.exp(x.clamp(max=0) / alpha) / alpha)


@rounded_once
def _selu(x: Tensor) -> Tensor:
    return _SELU_SCALE * _elu(x, alpha=_SELU_ALPHA)


@rounded_once
def _selu_first(x: Tensor) -> Tensor:
    return _SELU_SCALE * _elu_first(x, alpha=_SELU_ALPHA)


@rounded_once
def _selu_second(x: Tensor) -> Tensor:
    return _SELU_SCALE * _elu_second(x, alpha=_SELU_ALPHA)


_ALPHA = {"alpha": 1.0}
# name, formula, value, first, second, constants
_TABLE: tuple[tuple[str, str, Pointwise, Pointwise, Pointwise, dict[str, float]], ...] = (
    (
        "sigmoid",
        r"\sigma(x) = 1 / (1 + e^{-x})",
        torch.sigmoid,
        _sigmoid_first,
        _sigmoid_second,
        {},
    ),
    ("tanh", r"\tanh(x)", torch.tanh, _tanh_first, _tanh_second, {}),
    ("tanhshrink", r"x - \tanh(x)", _tanhshrink, _tanhshrink_first, _tanhshrink_second, {}),
    ("softplus", r"\ln(1 + e^x)", softplus, torch.sigmoid, _sigmoid_first, {}),
    (
        "gelu",
        r"x \, \Phi(x) = x \, (1 + \operatorname{erf}(x / \sqrt{2})) / 2",
        F.gelu,
        _gelu_first,
        _gelu_second,
        {},
    ),
    (
        "gelu_tanh",
        r"x \, (1 + \tanh(\sqrt{2 / \pi} \, (x + 0.044715 \, x^3))) / 2",
        _gelu_tanh,
        _gelu_tanh_first,
        _gelu_tanh_second,
        {},
    ),
    (
        "gelu_quick",
        r"x \, \sigma(1.702 \, x)",
        _gelu_quick,
        _gelu_quick_first,
        _gelu_quick_second,
        {},
    ),
    ("silu", r"x \, \sigma(x)", F.silu, _silu_first, _silu_second, {}),
    ("mish", r"x \tanh(\ln(1 + e^x))", _mish, _mish_first, _mish_second, {}),
    (
        "elu",
        r"\max(x, 0) + \alpha \, (e^{\min(x, 0)} - 1), \quad \alpha = 1",
        _elu,
        _elu_first,
        _elu_second,
        _ALPHA,
    ),
    (
        "celu",
        r"\max(x, 0) + \alpha \, (e^{\min(x, 0) / \alpha} - 1), \quad \alpha = 1",
        _celu,
        _celu_first,
        _celu_second,
        _ALPHA,
    ),
    (
        "selu",
        r"1.0507 \, (\max(x, 0) + 1.6733 \, (e^{\min(x, 0)} - 1))",
        _selu,
        _selu_first,
        _selu_second,
        {},
    ),
)

ROWS = tuple(
    Activation(name=name, formula=formula, value=value, first=first, second=second, constants=constants)
    for name, formula, value, first, second, constants in _TABLE
)
