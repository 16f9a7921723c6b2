"""The repetition study: what it costs to read the same text again, beside what a published law predicts.

The law is that of Muennighoff et al. 2023 (arXiv:2305.16264), `effective_tokens`. It was fitted to models of 7 M to 9 B
parameters trained with dropout; it stands beside the measurement and judges nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from paribus.study.engine import Ran, Results
from paribus.study.kinds.intervals import over_seeds
from paribus.study.plan import HANDICAP, Plan
from paribus.text.data.audit.law import R_STAR, effective_tokens


def repetition_section(
    plan: Plan, ran: Ran, results: Results, arms: Sequence[Mapping[str, Any]]
) -> dict[str, Any] | None:
    """Loss by number of passes with what the law predicts, and what repetition does to generated text.

    `excess` is over the baseline where that reads everything once and the arm differs from it in nothing else, and
    None elsewhere. `predicted_excess` turns the law's effective tokens into loss by the
    slope of loss in log tokens between the baseline and the handicap of this study; None where there is none.
    """
    slope = _slope(plan, ran, results, arms)
    once = (plan.arm(plan.baseline).train.passes or 1) == 1
    alone = once and set(plan.varied) <= {"train.passes"}
    rows = []
    for row in sorted(arms, key=lambda row: plan.arm(row["name"]).train.passes or 1):
        arm = plan.arm(row["name"])
        passes = arm.train.passes or 1
        tokens = arm.train.steps * arm.train.tokens_per_step  # whole steps
        worth = effective_tokens(tokens, passes)
        difference = row["difference"]
        rows.append(
            {
                "name": row["name"],
                "passes": passes,
                "unique_tokens": arm.train.unique_tokens,
                "bpb": over_seeds(row["values"]),
                "excess": {"mean": difference["mean"], "ci95": difference["ci95"]}
                if difference and alone
                else None,
                "effective_tokens": worth,
                "predicted_excess": None if slope is None else slope * math.log(tokens / worth),
                **_written(plan, ran, results, row),
            }
        )
    return {"tokens": plan.train.steps * plan.train.tokens_per_step, "r_star": R_STAR, "arms": rows}


def _slope(plan: Plan, ran: Ran, results: Results, arms: Sequence[Mapping[str, Any]]) -> float | None:
    """Bits per byte gained by e times the tokens, from handicap and baseline at the baseline's best rate."""
    base = next(row for row in arms if row["name"] == plan.baseline)
    if HANDICAP not in plan.controls or base["lr"] is None:
        return None
    less, whole = plan.arm(HANDICAP), plan.arm(plan.baseline)

    def mean(arm: Any) -> float:
        found = [results.get(plan.trial(arm, base["lr"], seed).key) for seed in ran.seeds]
        return float(
            np.mean([each["val_bpb"] for each in found if each and each["status"] == "done"] or [math.nan])
        )

    slope = (mean(less) - mean(whole)) / math.log(whole.tokens / less.tokens)
    return slope if math.isfinite(slope) else None


def _written(plan: Plan, ran: Ran, results: Results, row: Mapping[str, Any]) -> dict[str, Any]:
    """What the arm's models wrote at its best rate: medians over seeds."""
    if row["lr"] is None:
        return {}
    trials = [plan.trial(plan.arm(row["name"]), row["lr"], seed) for seed in ran.seeds]
    probes = [
        (results.get(trial.key) or {}).get("probes", {}).get("generation", {}).get("end") for trial in trials
    ]
    found = [probe for probe in probes if probe and probe.get("distinct")]
    if not found:
        return {}
    return {
        "distinct": {
            n: float(np.median([probe["distinct"][n] for probe in found])) for n in found[0]["distinct"]
        },
        "longest_copy": float(np.median([probe["longest_copy"]["tokens"] for probe in found])),
        "heldout_longest_copy": float(
            np.median([probe["heldout"]["longest_copy"]["tokens"] for probe in found])
        ),
    }
