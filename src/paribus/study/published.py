"""What was published on the same question: the contrasts of Shazeer's table beside ours, without judging agreement.

Another architecture, objective, optimiser, text and scale, and another unit: the numbers stand side by side so that a
reader need not look them up, and nothing is computed from both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from scipy import special

from paribus.study.plan import Plan

#: Held-out log-perplexity after 65,536 steps, mean and standard deviation of four runs, by our names.
#: Source: Shazeer 2020 (arXiv:2002.05202), Table 1; the parameters of all rows are equal.
SHAZEER: Mapping[str, tuple[float, float]] = {
    "relu": (1.997, 0.005),
    "gelu": (1.983, 0.005),
    "silu": (1.994, 0.003),
    "glu": (1.982, 0.006),
    "bilinear": (1.960, 0.005),
    "geglu": (1.942, 0.004),
    "swiglu": (1.944, 0.010),
    "reglu": (1.953, 0.003),
}
_RUNS = 4


def published_section(plan: Plan, arms: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Published and own difference of each arm from the baseline; None unless layers of the table are compared."""
    if plan.slots != ("ffn",) or plan.baseline not in SHAZEER:
        return None
    rows = [
        {"name": row["name"], **_contrast(row["name"], plan.baseline), "ours": row["difference"]}
        for row in arms
        if row["name"] in SHAZEER and row["name"] != plan.baseline
    ]
    if not rows:
        return None
    return {
        "source": "Shazeer 2020 (arXiv:2002.05202), Table 1, after 65,536 steps",
        "setting": (
            "T5 base, 12 + 12 layers of d_model 768, span corruption on C4, Adafactor at one learning rate for all, four runs"
        ),
        "unit": "nats a token",
        "rows": rows,
    }


def _contrast(name: str, baseline: str) -> dict[str, Any]:
    """The published difference with Welch's 95 % interval, not adjusted for their number."""
    (mean, sd), (base, base_sd) = SHAZEER[name], SHAZEER[baseline]
    variances = sd**2 / _RUNS, base_sd**2 / _RUNS
    df = sum(variances) ** 2 / sum(each**2 / (_RUNS - 1) for each in variances)
    half = float(special.stdtrit(df, 0.975)) * math.sqrt(sum(variances))
    return {"mean": mean - base, "ci95": [mean - base - half, mean - base + half]}
