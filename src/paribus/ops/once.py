"""Tells a compiler what to compute once, and what only after something else.

A compiler that fuses pointwise work inlines a table of cosines, cheap to write down, into every kernel of every
layer that reads it, and takes a power, a cosine and a sine for each element there. Behind an operation that it
cannot look into, the table is made once. In the same way it makes large tensors that do not depend on each other all at
the same time, where one after the other would take less memory. Eager code does neither, and nothing happens there.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def once(x: Tensor) -> Tensor:
    """x; in compiled code a copy of it that is made once in a pass."""
    return _once(x) if torch.compiler.is_compiling() else x


def gradient_once(x: Tensor) -> Tensor:
    """x; in compiled code its gradient is summed up once before anything is made of it."""
    return _GradientOnce.apply(x) if torch.compiler.is_compiling() else x


def after(earlier: Tensor, x: Tensor) -> Tensor:
    """x; in compiled code a copy of it that is made when `earlier` has been. No gradient passes through it."""
    return _after(earlier, x) if torch.compiler.is_compiling() else x


@torch.library.custom_op("paribus::after", mutates_args=())
def _after(earlier: Tensor, x: Tensor) -> Tensor:
    return x.clone()


@_after.register_fake
def _(earlier: Tensor, x: Tensor) -> Tensor:
    return torch.empty_like(x)


@torch.library.custom_op("paribus::once", mutates_args=())
def _once(x: Tensor) -> Tensor:
    return x.clone()


@_once.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x)


def _pass_on(_context: Any, gradient: Tensor) -> Tensor:
    return gradient


_once.register_autograd(_pass_on)


class _GradientOnce(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _once(gradient)
