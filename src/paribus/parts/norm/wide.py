"""What norms do alike: compute in at least float32, over groups of features, and refuse what cannot be."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from paribus.errors import RequestError


def widened(x: Tensor) -> Tensor:
    """x in at least float32: squares of bfloat16 would keep three digits, those of float16 overflow."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def grouped(x: Tensor, groups: int) -> Tensor:
    """x [..., d_model] as [..., groups, d_model / groups]; as it is with one group."""
    return x if groups == 1 else x.unflatten(-1, (groups, -1))


def ungrouped(x: Tensor, groups: int) -> Tensor:
    """What `grouped` took apart, together again."""
    return x if groups == 1 else x.flatten(-2)


def checked_groups(groups: int, d_model: int) -> int:
    """groups, if so many features can be shared out to them."""
    if not isinstance(groups, int) or isinstance(groups, bool) or groups < 1 or d_model % groups:
        raise RequestError(f"a norm's groups share d_model {d_model} evenly; there are {groups!r} of them")
    return groups


def checked_eps(eps: float) -> float:
    """eps, if a norm can use it."""
    if not (math.isfinite(eps) and eps > 0):
        raise RequestError(f"a norm's eps keeps a division from zero, so it must be above zero; it is {eps}")
    return eps
