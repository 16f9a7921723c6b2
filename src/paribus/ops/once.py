"""Tells a compiler what to compute once, and what only after something else.

A compiler that fuses pointwise work inlines a table of cosines, cheap to write down, into every kernel of every
layer that reads it, and takes a power, a cosine and a sine for each element there. Behind an operation that it
cannot look into, the table is made once. In the same way it makes large tensors that do not depend on each other all at
the same time, where one after the other would take less memory. Eager code does neither, and nothing happens there.

A gradient that is summed up once and then read by many is only said to be changed, by an operation that does nothing:
a compiler must then have it in memory, and no copy of it is made.

The operations are defined by a `Library`, as they are called a hundred times a step and a `torch.library.custom_op`
takes longer to call. They give a fixed number of tensors: in C++ wrappers of torch 2.13 a list of results crashes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

_OPERATIONS = torch.library.Library("paribus", "FRAGMENT")
_OPERATIONS.define("once(Tensor x) -> Tensor")
_OPERATIONS.define("after(Tensor[] earlier, Tensor x) -> Tensor")
_OPERATIONS.define("after.three(Tensor[] earlier, Tensor x, Tensor y, Tensor z) -> (Tensor, Tensor, Tensor)")
_OPERATIONS.define("written(Tensor(a!) x) -> ()")  # it changes nothing
_OPERATIONS.impl("once", torch.clone, "CompositeExplicitAutograd")
_OPERATIONS.impl("after", lambda earlier, x: x.clone(), "CompositeExplicitAutograd")
_OPERATIONS.impl(
    "after.three", lambda earlier, *later: tuple(x.clone() for x in later), "CompositeExplicitAutograd"
)
_OPERATIONS.impl("written", lambda x: None, "CompositeExplicitAutograd")


def once(x: Tensor) -> Tensor:
    """x; in compiled code a copy of it that is made once in a pass."""
    return _Once.apply(x) if torch.compiler.is_compiling() else x


def gradient_once(x: Tensor) -> Tensor:
    """x; in compiled code its gradient is summed up once before anything is made of it."""
    return _GradientOnce.apply(x) if torch.compiler.is_compiling() else x


def after(earlier: Sequence[Tensor], *later: Tensor) -> tuple[Tensor, ...]:
    """`later`, one tensor or three; in compiled code copies, made when all that is `earlier` has been.

    For the forward and backward of autograd functions: no gradient passes through it.
    """
    assert not (torch.is_grad_enabled() and any(x.requires_grad for x in later)), "after has no gradient"
    if not torch.compiler.is_compiling():
        return later
    if len(later) == 1:
        return (torch.ops.paribus.after.default(earlier, *later),)
    return torch.ops.paribus.after.three(earlier, *later)


class _Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.ops.paribus.once.default(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


class _GradientOnce(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        torch.ops.paribus.written.default(gradient)
        return gradient
