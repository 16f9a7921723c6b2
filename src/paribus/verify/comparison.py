"""A form of a part against its oracle in numpy float64: output, and gradients by x and every parameter.

Weights and inputs are such that the tested dtype holds them exactly; what differs is the form's own arithmetic.
Gradients are compared along random directions with central differences of the oracle, so the oracle needs no
derivative and autograd is held to something that is not autograd.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from paribus import oracles
from paribus.oracles import Array
from paribus.verify.bounds import ROUNDING, Kind
from paribus.verify.case import Case, Form, Setting

_STEP = 1e-6  # of a central difference: its own error is about 1e-9 of the derivative
_DIRECTIONS = 2
#: A gradient that is shorter than this share of the longest one counts as so long: some are zero but for rounding,
#: as that of a bias of the keys, which moves all logits of a query alike.
_SHARE = 0.1
#: Significant bits of the dtypes of half precision.
_BITS = {torch.bfloat16: 8, torch.float16: 11}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """By how much a form is off, and by how much it may be."""

    kind: Kind
    error: float
    bound: float


class Expected:
    """What the oracle says of a case: its output, and how that changes along random directions.

    In x a direction moves each row by its own size times standard normal numbers, so that small rows count as
    much as large ones.
    """

    def __init__(self, case: Case, setting: Setting) -> None:
        self._oracle = case.oracle
        self._at = {"x": _array(case.x), **{name: _array(p) for name, p in case.module.named_parameters()}}
        self.output = self._evaluate({})
        self.dy = setting.tensor(*self.output.shape, seed=7)
        self._changes: dict[str, list[tuple[Array, float]]] | None = None

    def changes(self) -> Mapping[str, list[tuple[Array, float]]]:
        """(direction, derivative of sum(y * dy) along it) by x and by every parameter that has elements."""
        if self._changes is None:  # the forms of a case share them
            self._changes = {name: list(self._along(name)) for name, at in self._at.items() if at.size}
        return self._changes

    def size(self, name: str) -> Array:
        """How far a direction moves: the size of each row of x, 1 in parameters."""
        return np.sqrt((self._at["x"] ** 2).mean(-1, keepdims=True)) if name == "x" else np.ones(1)

    def _along(self, name: str) -> Iterator[tuple[Array, float]]:
        draws = np.random.default_rng(0)
        for _ in range(_DIRECTIONS):
            direction = self.size(name) * draws.standard_normal(self._at[name].shape)
            moved = oracles.gradient(
                lambda value: self._evaluate({name: value}),
                self._at[name],
                _array(self.dy),
                _STEP * direction,
            )
            yield direction, float(moved) / _STEP

    def _evaluate(self, moved: Mapping[str, Array]) -> Array:
        at = {**self._at, **moved}
        return self._oracle({name: each for name, each in at.items() if name != "x"}, at["x"])


def judge(form: Form, case: Case, expected: Expected, setting: Setting) -> list[Finding]:
    """What a form gives against what is expected.

    Raises `AssertionError` for an output of another shape or dtype, and for one that gradients do not reach.
    """
    x = case.x.detach().requires_grad_(case.has_gradients)
    y, exact = form(x), expected.output
    if y.dtype != setting.dtype or tuple(y.shape) != exact.shape:
        raise AssertionError(f"gave {y.dtype} {list(y.shape)}, not {setting.dtype} {list(exact.shape)}")

    errors = np.abs(_array(y) - exact)
    largest = np.abs(exact).max(initial=0.0) or 1.0
    bounds, dtype = case.bounds, setting.dtype
    found = [
        Finding(kind="output", error=float(errors.max(initial=0.0) / largest), bound=bounds.output[dtype])
    ]
    if bounds.before_rounding is not None and dtype in _BITS:
        allowed = oracles.round_once_slack(exact, _BITS[dtype]) + bounds.before_rounding * largest
        below_normal = torch.finfo(dtype).smallest_normal * torch.finfo(dtype).eps / 2
        allowed = np.maximum(allowed, below_normal)
        found.append(
            Finding(kind="rounding", error=float((errors / allowed).max(initial=0.0)), bound=ROUNDING)
        )
    if not case.has_gradients:
        return found
    if not y.requires_grad:
        raise AssertionError("gave an output that no gradient passes")
    inputs = {"x": x, **dict(case.module.named_parameters())}
    gradients = torch.autograd.grad(
        y, tuple(inputs.values()), expected.dy, allow_unused=True, materialize_grads=True
    )
    arrays = dict(zip(inputs, map(_array, gradients), strict=True))
    lengths = {name: _length(gradient * expected.size(name)) for name, gradient in arrays.items()}
    shortest = max(_SHARE * np.max([*lengths.values()]), 1e-8)
    off = [
        abs((arrays[name] * direction).sum() - change) / np.max([lengths[name], abs(change), shortest])
        for name, changes in expected.changes().items()
        for direction, change in changes
    ]
    worst = float(np.max(off))  # max() would lose a nan
    return [*found, Finding(kind="gradients", error=worst, bound=bounds.gradients[dtype])]


def _length(gradient: Array) -> float:
    return float(np.sqrt((gradient**2).sum()))


def _array(tensor: Tensor) -> Array:
    return tensor.detach().cpu().double().numpy()  # first to the CPU: not every device has float64
