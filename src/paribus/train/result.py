"""What a run gave: its score, what it cost, and the curve of its loss."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from paribus.train.config import TrainConfig

CURVE_POINTS = 50


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """What a run gave. Bits per byte are over the scored held-out bytes; None when training diverged early.

    `heldout_nats` has the loss of each group of held-out documents. `curve` has the mean training loss in bits per
    byte at up to 50 token counts, with the seconds spent in steps until then; `first_bpb` is that of the first step.
    `branch_rms` is the RMS of what feed-forward layers write at step 0. `probes` has what each probe found, at
    the start and at the end; `as_run` says which forms ran. `scores` has [step, held-out bits per byte] of every
    time on the way that the run was asked for.
    """

    status: str  # done | diverged
    val_bpb: float | None
    reason: str | None
    tokens: int
    seconds: float
    tokens_per_second: float
    compile_seconds: float
    clipped_fraction: float
    branch_rms: float
    first_bpb: float
    peak_memory_bytes: int | None
    dtype: str
    compiled: bool
    as_run: dict[str, Any]
    curve: dict[str, list[float]]
    heldout_nats: list[float]
    probes: dict[str, dict[str, Any]]
    scores: list[list[float]] = field(default_factory=list)


def curve(
    losses: list[float], seconds: list[float], config: TrainConfig, *, scale: float
) -> dict[str, list[float]]:
    """Mean training loss over up to `CURVE_POINTS` stretches of the run; nats of a step times `scale` are bits
    per byte."""
    ends = np.unique(np.linspace(0, len(losses), CURVE_POINTS + 1).round().astype(int))
    passed = np.cumsum(seconds)
    means = [np.mean(losses[start:end]) for start, end in itertools.pairwise(ends)]
    return {
        "tokens": [float(end * config.tokens_per_step) for end in ends[1:]],
        "seconds": [float(passed[end - 1]) for end in ends[1:]],
        "train_bpb": [float(mean * scale) for mean in means],
    }
