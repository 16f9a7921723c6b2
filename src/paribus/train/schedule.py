"""The learning rate over a run: linear warm-up, then linear decay to zero."""

from __future__ import annotations

import math


def rate_at(step: int, *, steps: int, warmup: float) -> float:
    """Share of the peak rate at `step` (0-based) of `steps`.

    Rises linearly over the first `warmup` share of the steps, reaches 1 there, and falls linearly so that
    the step after the last would have rate 0.
    """
    warmup_steps = math.ceil(warmup * steps - 1e-9)  # 0.07 * 100 is 7.000000000000001
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    return (steps - step) / (steps - warmup_steps)
