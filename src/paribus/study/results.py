"""From plan, ledger and judgement to the published `results.json`: every number a report shows, as plain data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import paribus
from paribus.model.count import num_params, on_meta, slot_params, training_flops
from paribus.study.engine import Results, losses
from paribus.study.plan import EXPECTED, Arm, Plan
from paribus.study.verdict import ArmVerdict, ControlVerdict, Difference, Judgement, judge
from paribus.train.config import objective_for

_SESSION = ("command", "began", "seconds")  # what a session holds beside its environment


def describe_arm(plan: Plan, arm: Arm) -> dict[str, Any]:
    """What is known of an arm before it runs, under the keys of `results.json`."""
    lengths = objective_for(plan.train, arm.model.architecture).lengths(plan.train.seq_len)
    window_flops = training_flops(on_meta(arm.model), seq_len=lengths.inputs, source_len=lengths.source)
    return {
        "name": arm.name,
        "parts": arm.model.part_names(),
        "d_ff": arm.model.d_ff,
        "slot_params": slot_params(arm.model, plan.slot),
        "slot_mismatch": arm.mismatch,
        "params": num_params(arm.model),
        "flops_per_token": window_flops / plan.train.seq_len,
        "tokens": arm.tokens,
    }


def build(
    plan: Plan,
    rates: Sequence[float],
    results: Results,
    *,
    sessions: Sequence[Mapping[str, Any]],
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """The whole `results.json`, from whatever trials there are.

    `sessions` are environment and wall seconds of every run that finished a trial, in order; `notes` are
    sentences that were said to the user and belong beside the verdict.
    """
    judgement = judge(
        losses(plan, rates, results), rates=rates, baseline=plan.baseline, controls=plan.controls
    )
    trials = [
        _trial_row(plan, trial.arm, trial.rate, trial.seed, results.get(trial.key))
        for trial in plan.trials(rates)
    ]
    seconds = sum(session["seconds"] for session in sessions)
    arms, controls = [], []
    for arm in plan.arms:
        verdict = judgement.controls[arm.name] if arm.control else judgement.arms[arm.name]
        row = describe_arm(plan, arm) | _measured(plan, arm, rates, results, verdict)
        if isinstance(verdict, ControlVerdict):
            controls.append(
                row | {"verdict": _found(verdict), "expected": EXPECTED[arm.name], "ok": verdict.ok}
            )
        else:
            row["indistinguishable_from_best"] = arm.name in judgement.best_group
            arms.append(row | {"verdict": verdict.verdict})
    last = dict(sessions[-1]) if sessions else {}
    return {
        "study": plan.slot,
        "metric": "val_bpb",
        "question": f"Which feed-forward layer is better on {plan.data['name']}, everything else equal?",
        "baseline": plan.baseline,
        "matched": plan.matched,
        "data": dict(plan.data),
        "arms": arms,
        "controls": controls,
        "statistics": _statistics(judgement),
        "smallest_detectable_difference": judgement.smallest_detectable_difference,
        "to_halve": _to_halve(judgement, seconds / 60),
        "trials": trials,
        "warnings": [*judgement.warnings, *map(_sentence, notes), *_moved(sessions)],
        "held_equal": _held_equal(plan, rates),
        "not_controlled": _not_controlled(plan),
        "training": _training(plan, rates),
        "command": last.get("command"),
        "environment": {key: last[key] for key in last if key not in _SESSION} | _ran(results),
        "created": last.get("began"),
        "seconds": seconds,
        "paribus": paribus.__version__,
        "plan_sha256": plan.sha256,
    }


def _found(control: ControlVerdict) -> str:
    """What a control's interval says, in the words of a verdict."""
    difference = control.difference
    if control.reason or difference is None or difference.low <= 0 <= difference.high:
        return "cannot tell"
    return "better" if difference.high < 0 else "worse"


def _measured(
    plan: Plan, arm: Arm, rates: Sequence[float], results: Results, verdict: ArmVerdict | ControlVerdict
) -> dict[str, Any]:
    """What the arm's trials gave; figures beside the loss are medians over seeds at its best rate."""

    def at(rate: float) -> list[Mapping[str, Any]]:
        found = [results.get(plan.trial(arm, rate, seed).key) for seed in plan.seeds]
        return [result for result in found if result is not None and result["status"] != "failed"]

    best = at(verdict.rate) if verdict.rate is not None else []
    table = losses(plan, rates, results)[arm.name]
    return {
        "lr": verdict.rate,
        "lr_fitted": verdict.fitted_rate,
        "values": list(verdict.values),
        "mean": verdict.mean,
        "difference": _difference(verdict.difference),
        "reason": verdict.reason,
        "tokens_per_second": _median(best, "tokens_per_second"),
        "peak_memory_bytes": _median(best, "peak_memory_bytes"),
        "branch_rms": _median(best, "branch_rms"),
        "clipped_fraction": _median(best, "clipped_fraction"),
        "diverged_trials": verdict.diverged_trials,
        "by_rate": [
            {
                "lr": rate,
                "mean": _finite(float(np.mean(row))),
                "values": [_finite(float(value)) for value in row],
            }
            for rate, row in zip(rates, table, strict=True)
        ],
        "curve": _curve([result["curve"] for result in best if result["status"] == "done"]),
    }


def _median(results: Sequence[Mapping[str, Any]], key: str) -> float | None:
    values = [result[key] for result in results if result.get(key) is not None]
    return float(np.median(values)) if values else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _difference(difference: Difference | None) -> dict[str, Any] | None:
    if difference is None:
        return None
    return {
        "mean": difference.mean,
        "ci95": [difference.low, difference.high],
        "p_adjusted": difference.p_adjusted,
    }


def _curve(curves: Sequence[Mapping[str, Sequence[float]]]) -> dict[str, list[float]]:
    """Mean over seeds, point by point."""
    if not curves:
        return {"tokens": [], "seconds": [], "train_bpb": []}
    return {key: np.mean([curve[key] for curve in curves], axis=0).tolist() for key in curves[0]}


def _trial_row(
    plan: Plan, arm: str, rate: float, seed: int, result: Mapping[str, Any] | None
) -> dict[str, Any]:
    result = result or {"status": "missing"}
    return {
        "arm": arm,
        "seed": seed,
        "lr": rate,
        "status": result["status"],
        "val_bpb": result.get("val_bpb"),
        "seconds": result.get("seconds"),
        "tokens": result.get("tokens"),
        "tokens_per_second": result.get("tokens_per_second"),
        "peak_memory_bytes": result.get("peak_memory_bytes"),
        "error": result.get("reason"),
    }


def _statistics(judgement: Judgement) -> dict[str, Any]:
    return {
        "method": judgement.method,
        "confidence": 0.95,
        "critical": judgement.critical,
        "df": judgement.df,
        "residual_sd": judgement.residual_sd,
        "pairing_ratio": judgement.pairing_ratio,
        "seeds": judgement.seeds,
    }


def _to_halve(judgement: Judgement, minutes: float) -> dict[str, float] | None:
    """Seeds that would halve the smallest detectable difference, and the minutes they take in all."""
    if judgement.seeds_to_halve is None:
        return None
    return {
        "seeds": judgement.seeds_to_halve,
        "minutes": minutes * judgement.seeds_to_halve / judgement.seeds,
    }


def _ran(results: Results) -> dict[str, Any]:
    """How the trials really ran; a list where they differ."""

    def seen(key: str) -> Any:
        values = sorted({str(result[key]) for result in results.values() if key in result})
        return values[0] if len(values) == 1 else values

    return {"dtype": seen("dtype"), "compiled": seen("compiled")}


def _sentence(note: str) -> str:
    return note[0].upper() + note[1:] + "."


def _moved(sessions: Sequence[Mapping[str, Any]]) -> list[str]:
    """A warning when parts of the study ran on different machines or software."""
    facts = ("python", "torch", "platform", "cpu", "gpu")
    seen = {tuple(session.get(fact) for fact in facts) for session in sessions}
    if len(seen) <= 1:
        return []
    return [
        "Parts of this study ran in different environments; the last one is shown, and times cannot be compared."
    ]


def _held_equal(plan: Plan, rates: Sequence[float]) -> list[str]:
    train, model = plan.train, plan.arm(plan.baseline).model
    worst = max(abs(arm.mismatch) for arm in plan.arms)
    parts = {slot: name for slot, name in model.part_names().items() if slot != plan.slot}
    return [
        "Parameters of the swapped layer: "
        + ("equal in every arm." if worst == 0 else f"within {worst:.2%} of the baseline's in every arm."),
        "All other parts: " + ", ".join(f"{slot} {name}" for slot, name in parts.items()) + ".",
        f"Shape: d_model {model.d_model}, {model.num_layers} layers, {model.num_heads} heads.",
        "Every parameter outside the swapped layer starts from the same bits in every arm of a seed.",
        "Batches: the same text in the same order in every arm of a seed.",
        f"Objective: {train.objective}.",
        f"Training: {train.steps:,} steps of {train.batch_size} x {train.seq_len} tokens, a completed schedule.",
        f"Learning rates: the same {len(rates)} for every arm, each arm judged at its own optimum.",
        f"Held-out text: the same {plan.data['scored_bytes']:,} bytes, none of it trained on.",
    ]


def _not_controlled(plan: Plan) -> list[str]:
    params = num_params(plan.arm(plan.baseline).model)
    return [
        f"Scale: {params:,} parameters, {plan.train.tokens / params:.1f} tokens a parameter. It is no law for others.",
        f"Depth and shape: one only ({plan.arm(plan.baseline).model.num_layers} layers).",
        "Optimiser: AdamW only; rankings are known to differ under others.",
        f"Initialisation: one scheme ({plan.train.init_scheme}); close calls can turn with the initial scale.",
        f"Data: {plan.data['name']} only.",
        "Seconds: workers ran side by side, so tokens/s is what each got while sharing the machine.",
        "Compute: parameters are matched; FLOPs are reported, not matched.",
        "Memory: the peak is that of a whole worker process, which keeps what earlier trials freed.",
    ]


def _training(plan: Plan, rates: Sequence[float]) -> dict[str, Any]:
    train = plan.train
    return {
        "objective": train.objective,
        "tokens": train.tokens,
        "steps": train.steps,
        "batch_size": train.batch_size,
        "seq_len": train.seq_len,
        "tokens_per_parameter": train.tokens / num_params(plan.arm(plan.baseline).model),
        "learning_rates": [float(rate) for rate in rates],
        "schedule": f"linear warm-up over {train.warmup * train.tokens:,.0f} tokens, linear decay to zero",
        "optimizer": f"AdamW, betas {train.beta1} and {train.beta2}, eps {train.eps}",
        "weight_decay": train.weight_decay,
        "clip": train.clip,
        "init_scheme": train.init_scheme,
        "seeds": list(plan.seeds),
    }
