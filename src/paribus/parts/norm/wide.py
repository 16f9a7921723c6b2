"""What every norm does alike: compute in at least float32, and refuse an impossible eps."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from paribus.errors import RequestError


def widened(x: Tensor) -> Tensor:
    """x in at least float32: squares of bfloat16 would keep three digits, those of float16 overflow."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def checked_eps(eps: float) -> float:
    """eps, if a norm can use it."""
    if not (math.isfinite(eps) and eps > 0):
        raise RequestError(f"a norm's eps keeps a division from zero, so it must be above zero; it is {eps}")
    return eps
