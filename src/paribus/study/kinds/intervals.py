"""An interval for one figure over seeds, where no comparison is made: Student's, of 95 %."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import special


def over_seeds(values: Sequence[float]) -> dict[str, Any] | None:
    """{mean, ci95}: the mean of one value a seed and its interval, None ends for a single seed; None for none."""
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return None
    mean, n = float(np.mean(known)), len(known)
    if n < 2:
        return {"mean": mean, "ci95": None}
    half = float(special.stdtrit(n - 1, 0.975)) * float(np.std(known, ddof=1)) / math.sqrt(n)
    return {"mean": mean, "ci95": [mean - half, mean + half]}
