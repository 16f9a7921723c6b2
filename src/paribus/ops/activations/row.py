"""What one row of the activation table holds."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

Pointwise = Callable[..., Tensor]


@dataclass(frozen=True, kw_only=True)
class Activation:
    """One pointwise function: `value`, `first` and `second` map a tensor to a tensor of the same shape.

    `constants` are the keyword arguments that all three take, with their defaults.
    """

    name: str
    formula: str
    value: Pointwise
    first: Pointwise
    second: Pointwise
    constants: Mapping[str, float] = field(default_factory=dict)


def rounded_once(function: Pointwise) -> Pointwise:
    """The function of several steps, computed in at least float32 and rounded to the dtype of x at the end."""

    @functools.wraps(function)
    def wide(x: Tensor, *arguments: Tensor | float, **constants: float) -> Tensor:
        dtype = torch.promote_types(x.dtype, torch.float32)
        given = (each.to(dtype) if isinstance(each, Tensor) else each for each in arguments)
        return function(x.to(dtype), *given, **constants).to(x.dtype)

    return wide


def where_above(x: Tensor, bound: float) -> Tensor:
    """1 where x > bound, else 0, in the dtype of x."""
    return (x > bound).to(x.dtype)


def where_between(x: Tensor, low: float, high: float) -> Tensor:
    """1 where low < x < high, else 0, in the dtype of x."""
    return ((x > low) & (x < high)).to(x.dtype)
