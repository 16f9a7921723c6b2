"""One comparison: a torch function against an oracle in numpy float64, output and gradients.

Weights and inputs are drawn so that the tested dtype holds them exactly; what differs is the function's own
arithmetic. Gradients are compared along random directions with central differences of the oracle, so the
oracle needs no derivative and autograd is held to something that is not autograd.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from paribus.oracles import Array

_STEP = 1e-6  # of a central difference: its own error is about 1e-9 of the derivative
_DIRECTIONS = 3

#: Largest error of an output by dtype, as a share of the largest exact element: a few roundings, far below what
#: a wrong constant makes (Swish with beta 1.001: 2e-4).
OUTPUT_BOUNDS = {torch.float64: 1e-11, torch.float32: 1e-5, torch.bfloat16: 3e-2, torch.float16: 4e-3}
#: The same for a directional derivative, as a share of the gradient's length.
GRADIENT_BOUNDS = {torch.float64: 1e-6, torch.float32: 2e-5, torch.bfloat16: 4e-2, torch.float16: 6e-3}
#: In half precision a hidden value that rounding moves across a corner (of ReLU, of a maximum) turns a derivative
#: on or off, so layers with a hidden vector may be this many times further off there.
CORNERS = {"output": 3.0, "gradients": 8.0}
#: Angles, tables and distances of positions are computed in float32 whatever the dtype.
FLOAT32_INSIDE = 1e-5

Oracle = Callable[[Mapping[str, Array], Array], Array]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Where and in which dtype parts are tried, and whether compiled. Parameters are float32, or float64 in float64."""

    device: torch.device
    dtype: torch.dtype
    compiled: bool = False

    @property
    def parameter_dtype(self) -> torch.dtype:
        """The dtype of master weights."""
        return torch.float64 if self.dtype == torch.float64 else torch.float32

    def tensor(self, *shape: int, seed: int) -> Tensor:
        """Standard normal numbers that the dtype holds exactly."""
        return _normal(shape, seed=seed).to(self.dtype).to(self.device)

    def place(self, module: nn.Module, *, seed: int = 0) -> nn.Module:
        """The module on the device, every parameter drawn, matrices at unit gain; buffers stay as they are."""
        module = module.to(device=self.device, dtype=self.parameter_dtype)
        with torch.no_grad():
            for index, parameter in enumerate(module.parameters()):
                value = _normal(parameter.shape, seed=seed + 1 + index)
                fan_in = parameter.shape[-1] if parameter.ndim == 2 else 1
                parameter.copy_((value / math.sqrt(fan_in)).to(self.dtype))
        return module

    def form(self, function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        """The function, compiled if that is asked for."""
        if not self.compiled:
            return function
        torch._dynamo.reset()
        return torch.compile(function, fullgraph=True)


@dataclass(frozen=True, kw_only=True)
class Check:
    """What one comparison found: `error` is to be at most `bound`. `reason` says why it could not be made."""

    slot: str
    part: str
    what: str
    error: float
    bound: float
    reason: str | None = None

    @property
    def passed(self) -> bool:
        """False for an error that is not a number too."""
        return self.error <= self.bound


def compare(
    function: Callable[[Tensor], Tensor],
    oracle: Oracle,
    x: Tensor,
    *,
    module: nn.Module,
    setting: Setting,
    least_bound: float = 0.0,
    has_corners: bool = False,
) -> list[tuple[str, float, float]]:
    """(what, error, bound) of output and gradients of `function` at x, whose parameters are those of `module`.

    `least_bound` is the bound where the dtype's own is tighter than the function claims to be; `has_corners`
    says that `CORNERS` apply.
    """
    weights = {name: _array(parameter) for name, parameter in module.named_parameters()}
    exact = oracle(weights, _array(x))
    x = x.detach().requires_grad_()
    y = setting.form(function)(x)
    if y.dtype != setting.dtype or tuple(y.shape) != exact.shape:
        raise AssertionError(f"gave {y.dtype} {list(y.shape)}, not {setting.dtype} {list(exact.shape)}")

    def bound(what: str, bounds: Mapping[torch.dtype, float]) -> float:
        half = setting.dtype.itemsize == 2
        return max(bounds[setting.dtype] * (CORNERS[what] if has_corners and half else 1), least_bound)

    found = [("output", _output_error(y, exact), bound("output", OUTPUT_BOUNDS))]
    if not y.requires_grad:
        return found
    dy = setting.tensor(*y.shape, seed=7)
    parameters = dict(module.named_parameters())
    gradients = torch.autograd.grad(
        y, (x, *parameters.values()), dy, allow_unused=True, materialize_grads=True
    )
    at = {"x": _array(x), **weights}
    error = 0.0
    for name, gradient in zip(at, gradients, strict=True):
        error = max(error, _gradient_error(name, _array(gradient), at, oracle, _array(dy)))
    return [*found, ("gradients", error, bound("gradients", GRADIENT_BOUNDS))]


def _output_error(actual: Tensor, exact: Array) -> float:
    largest = np.abs(exact).max(initial=0.0)
    return float(np.abs(_array(actual) - exact).max(initial=0.0) / (largest or 1.0))


def _gradient_error(name: str, gradient: Array, at: Mapping[str, Array], oracle: Oracle, dy: Array) -> float:
    """Largest difference of a derivative along random directions, as a share of the gradient's length."""
    if not gradient.size:
        return 0.0
    draws = np.random.default_rng(0)
    error = 0.0
    for _ in range(_DIRECTIONS):
        direction = draws.standard_normal(gradient.shape)

        def loss(sign: int, direction: Array = direction) -> float:
            moved = {**at, name: at[name] + sign * _STEP * direction}
            weights = {key: value for key, value in moved.items() if key != "x"}
            return float((oracle(weights, moved["x"]) * dy).sum())

        difference = (loss(1) - loss(-1)) / (2 * _STEP)
        length = max(float(np.sqrt((gradient**2).sum())), abs(difference), 1e-8)
        error = max(error, abs(float((gradient * direction).sum()) - difference) / length)
    return error


def _normal(shape: tuple[int, ...] | torch.Size, *, seed: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _array(tensor: Tensor) -> Array:
    return tensor.detach().double().cpu().numpy()
