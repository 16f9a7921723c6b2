"""Whether derivatives are asked for in a way that only plain operations know."""

from __future__ import annotations

import torch
from torch.autograd import forward_ad


def in_forward_mode() -> bool:
    """Whether eager code may meet tensors with tangents, as under `torch.func.jvp` or in a `dual_level`."""
    return not torch.compiler.is_compiling() and forward_ad._current_level >= 0


def goes_backwards() -> bool:
    """Whether a gradient of our own, of an `autograd.Function`, may be asked for: not in forward mode, which has none.

    The plain operations are differentiated by torch. A function with a rule for tangents (`jvp`) cannot be compiled.
    """
    return torch.is_grad_enabled() and not in_forward_mode()


def is_transformed() -> bool:
    """Whether eager code runs in forward mode or under any transform of `torch.func`."""
    return in_forward_mode() or (
        not torch.compiler.is_compiling() and torch._C._are_functorch_transforms_active()
    )
