"""What the trials of one arm gave, as the rows of `results.json`: losses, times, probes, and what follows from them.

Figures beside the loss are medians over seeds at the arm's best rate; tokens a second, which no rate changes, are
the median of all its trials. Who is better is in `verdict`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from paribus.study.engine import Ran, Results
from paribus.study.plan import HANDICAP, Arm, Plan
from paribus.study.verdicts.bootstrap import bootstrap
from paribus.study.verdicts.judgement import ArmVerdict, ControlVerdict, Difference
from paribus.study.verdicts.score import rate_sensitivity
from paribus.study.verdicts.speedup import EQUAL, effective_speedup, throughput_ratio


def measured(
    plan: Plan,
    ran: Ran,
    arm: Arm,
    results: Results,
    verdict: ArmVerdict | ControlVerdict,
    *,
    scheme: str,
    table: np.ndarray,
) -> dict[str, Any]:
    """What the arm's trials gave under an initial scheme, and the `verdict` on it there.

    `table` [rates, seeds] are its losses.
    """

    def at(rate: float) -> list[Mapping[str, Any]]:
        found = [results.get(plan.trial(arm, rate, seed, scheme).key) for seed in ran.seeds]
        return [result for result in found if result is not None and result["status"] != "failed"]

    best = at(verdict.rate) if verdict.rate is not None else []
    everywhere = [result for rate in ran.rates for result in at(rate)]
    return {
        "lr": verdict.rate,
        "lr_fitted": verdict.fitted_rate,
        "values": list(verdict.values),
        "mean": verdict.mean,
        "difference": difference_row(verdict.difference),
        "reason": verdict.reason,
        "tokens_per_second": _median(everywhere, "tokens_per_second"),
        "seconds": _median(best, "seconds"),
        "peak_memory_bytes": _median(best, "peak_memory_bytes"),
        "branch_rms": _median(best, "branch_rms"),
        "clipped_fraction": _median(best, "clipped_fraction"),
        "rate_sensitivity": _sensitivity(table, everywhere),
        "as_run": next((result["as_run"] for result in everywhere if result.get("as_run")), None),
        "health": _probed(best, "health"),
        "reference": _probed(everywhere, "reference_time"),
        "diverged_trials": verdict.diverged_trials,
        "by_rate": [
            {
                "lr": rate,
                "mean": _finite(float(np.mean(row))),
                "values": [_finite(float(value)) for value in row],
            }
            for rate, row in zip(ran.rates, table, strict=True)
        ],
        "curve": _curve([result["curve"] for result in best if result["status"] == "done"]),
    }


def _probed(results: Sequence[Mapping[str, Any]], probe: str) -> dict[str, Any] | None:
    """What the first of these runs that carried the probe found at its end."""
    found = (result.get("probes", {}).get(probe, {}).get("end") for result in results)
    return next((each for each in found if each), None)


def _sensitivity(table: np.ndarray, results: Sequence[Mapping[str, Any]]) -> float | None:
    first = [result["first_bpb"] for result in results if result.get("first_bpb") is not None]
    finite = [value for value in first if math.isfinite(value)]
    return rate_sensitivity(table, float(np.mean(finite))) if finite else None


def over_texts(plan: Plan, ran: Ran, results: Results) -> dict[str, dict[str, Any]]:
    """Differences over other seeds and other documents, by arm, where every trial's loss by document is known.

    None where arms read windows of other lengths: these end in other documents.
    """
    group_bytes = plan.data.get("group_bytes")
    if not group_bytes or len(ran.seeds) < 2 or "train.seq_len" in plan.varied:
        return {}

    def nats(arm: Arm, rate: float, seed: int) -> list[float]:
        found = (results.get(plan.trial(arm, rate, seed).key) or {}).get("heldout_nats")
        return found if found else [math.nan] * len(group_bytes)

    tables = {
        arm.name: np.array([[nats(arm, rate, seed) for seed in ran.seeds] for rate in ran.rates])
        for arm in plan.arms
    }
    found = bootstrap(tables, group_bytes, rates=ran.rates, baseline=plan.baseline)
    return {name: {"mean": mean, "ci95": [low, high]} for name, (mean, low, high) in found.items()}


def add_speedups(
    plan: Plan,
    arms: Sequence[dict[str, Any]],
    *,
    handicap: ControlVerdict | None,
    trials: Sequence[Mapping[str, Any]],
) -> None:
    """What each arm saves of the baseline's tokens and time, by what the handicap shows tokens to be worth.

    `handicap` was judged with the arms, and `trials` are the rows of all of them, for their tokens a second.
    """
    base = next(row for row in arms if row["name"] == plan.baseline)
    if handicap is None or plan.kind != "compare" or len(base["values"]) < 2:
        return
    for row in arms:
        if row is base or len({len(each) for each in (base["values"], handicap.values, row["values"])}) > 1:
            continue
        speeds = [speeds_of(trials, name) for name in (plan.baseline, row["name"])]
        timed = all(speeds)  # a program of somebody else's need not tell them
        found = effective_speedup(
            base["values"],
            handicap.values,
            row["values"],
            fraction=plan.arm(HANDICAP).tokens / base["tokens"],
            tokens_ratio=row["tokens"] / base["tokens"],
            throughput=throughput_ratio(*speeds) if timed else EQUAL,
        )
        row["effective_speedup"] = {
            "value": found.value if timed else None,
            "ci95": [found.low, found.high] if timed else [None, None],
            "loss_factor": found.loss_factor,
            "throughput_ratio": found.throughput.value if timed else None,
            "throughput_ci95": [found.throughput.low, found.throughput.high] if timed else [None, None],
            "extrapolated": found.extrapolated,
        }


def speeds_of(trials: Sequence[Mapping[str, Any]], arm: str) -> list[float]:
    """Tokens a second of the arm's trials, from their rows; of those that told any."""
    return [row["tokens_per_second"] for row in trials if row["arm"] == arm and row["tokens_per_second"]]


def _median(results: Sequence[Mapping[str, Any]], key: str) -> float | None:
    values = [result[key] for result in results if result.get(key) is not None]
    return float(np.median(values)) if values else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def difference_row(difference: Difference | None) -> dict[str, Any] | None:
    if difference is None:
        return None
    return {
        "mean": difference.mean,
        "ci95": [difference.low, difference.high],
        "ci90": [difference.low90, difference.high90],
        "standard_error": difference.standard_error,
        "p_adjusted": difference.p_adjusted,
    }


def _curve(curves: Sequence[Mapping[str, Sequence[float]]]) -> dict[str, list[float]]:
    """Mean over seeds, point by point."""
    if not curves:
        return {"tokens": [], "seconds": [], "train_bpb": []}
    # Somebody else's program reports where it likes: only curves of the same points have a mean.
    shape = [len(points) for points in curves[0].values()]
    alike = [
        curve
        for curve in curves
        if curve["tokens"] == curves[0]["tokens"] and [len(points) for points in curve.values()] == shape
    ]
    return {key: np.mean([curve[key] for curve in alike], axis=0).tolist() for key in curves[0]}
