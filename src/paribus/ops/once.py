"""Tells a compiler what to compute once, and what only after something else.

A compiler that fuses pointwise work inlines a table of cosines, cheap to write down, into every kernel of every
layer that reads it, and takes a power, a cosine and a sine for each element there. Behind an operation that it
cannot look into, the table is made once. In the same way it makes large tensors that do not depend on each other all at
the same time, where one after the other would take less memory. Eager code does neither, and nothing happens there.

The operations are defined by a `Library`: called a hundred times a step, they take a third of the time of a
`torch.library.custom_op`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

_OPERATIONS = torch.library.Library("paribus", "FRAGMENT")
_OPERATIONS.define("once(Tensor x) -> Tensor")
_OPERATIONS.define("after(Tensor[] earlier, Tensor[] later) -> Tensor[]")
_OPERATIONS.define("written(Tensor(a!) x) -> ()")
_OPERATIONS.impl("once", torch.clone, "CompositeExplicitAutograd")
_OPERATIONS.impl("after", lambda earlier, later: [x.clone() for x in later], "CompositeExplicitAutograd")
_OPERATIONS.impl("written", lambda x: None, "CompositeExplicitAutograd")


def once(x: Tensor) -> Tensor:
    """x; in compiled code a copy of it that is made once in a pass."""
    return _Once.apply(x) if torch.compiler.is_compiling() else x


def gradient_once(x: Tensor) -> Tensor:
    """x; in compiled code its gradient is summed up once before anything is made of it."""
    return _GradientOnce.apply(x) if torch.compiler.is_compiling() else x


def after(earlier: Sequence[Tensor], *later: Tensor) -> tuple[Tensor, ...]:
    """`later`; in compiled code copies, made when all that is `earlier` has been. No gradient passes through them."""
    if not torch.compiler.is_compiling():
        return later
    return tuple(torch.ops.paribus.after.default(earlier, later))


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
        # Said to be changed, and not even copied: for a compiler that is reason enough to have it in memory.
        torch.ops.paribus.written.default(gradient)
        return gradient
