"""From plan, ledger and judgement to the published `results.json`: every number a report shows, as plain data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import paribus
from paribus.study import describe
from paribus.study.command import results as command_results
from paribus.study.command.plan import CommandPlan
from paribus.study.engine import Ran, Results, judgements, losses
from paribus.study.kinds import sections
from paribus.study.measured import add_speedups, difference_row, measured, over_texts
from paribus.study.plan import EXPECTED, HANDICAP, Plan
from paribus.study.published import published_section
from paribus.study.verdicts import schemes
from paribus.study.verdicts.judgement import ArmVerdict, ControlVerdict, Judgement
from paribus.study.verdicts.power import power
from paribus.study.verdicts.verdict import MIN_SEEDS

_ENVIRONMENT = ("python", "torch", "platform", "cpu", "gpu", "cores")  # what times depend on
_SESSION = ("command", "began", "seconds")  # what a session holds beside its environment


def build(
    plan: Plan,
    ran: Ran,
    results: Results,
    *,
    sessions: Sequence[Mapping[str, Any]],
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """The whole `results.json`, from whatever trials there are.

    `sessions` are environment and wall seconds of every run that finished a trial, in order; `notes` are
    sentences that were said to the user and belong beside the verdict.
    """
    about: ModuleType = command_results if isinstance(plan, CommandPlan) else describe
    judged = judgements(plan, ran.rates, ran.seeds, results, alpha=ran.alpha)
    combined = schemes.combine(judged)
    first = judged[plan.schemes[0]]
    trials = plan.trials(ran.rates, ran.seeds)
    rows = [_trial_row(plan, trial, results.get(trial.key)) for trial in trials]
    seconds = sum(session["seconds"] for session in sessions)
    texts = over_texts(plan, ran, results)
    tables = {
        scheme: losses(plan, ran.rates, results, seeds=ran.seeds, scheme=scheme) for scheme in plan.schemes
    }
    arms, controls = [], []
    for arm in plan.arms:
        scheme = _shown_scheme(judged, arm.name) if arm.control else plan.schemes[0]
        verdict = judged[scheme].controls[arm.name] if arm.control else judged[scheme].arms[arm.name]
        # What a program reports of its size is only known from its trials.
        known = {"results": results} if about is command_results else {}
        row = about.describe_arm(plan, arm, **known)
        row |= measured(plan, ran, arm, results, verdict, scheme=scheme, table=tables[scheme][arm.name])
        row["bootstrap"] = texts.get(arm.name)
        if isinstance(verdict, ControlVerdict):
            row |= {"scheme": scheme} if len(judged) > 1 else {}
            controls.append(
                row | {"verdict": _found(verdict), "expected": EXPECTED[arm.name], "ok": verdict.ok}
            )
        else:
            row["indistinguishable_from_best"] = all(arm.name in each.best_group for each in judged.values())
            word, reason = combined[arm.name]
            if len(judged) > 1:
                row["by_scheme"] = {scheme: _said(each.arms[arm.name]) for scheme, each in judged.items()}
            arms.append(row | {"verdict": word, "reason": reason})
    add_speedups(plan, arms, handicap=first.controls.get(HANDICAP), trials=rows)
    last = dict(sessions[-1]) if sessions else {}
    environments = _environments(results, sessions)
    # A study of stability asks for no verdict, so nothing is wrong when there is none.
    warnings = [text for each in judged.values() for text in each.warnings if plan.kind != "depth"]
    return {
        "study": plan.study,
        "kind": plan.kind,
        "metric": getattr(plan, "metric", "val_bpb"),
        "question": about.question(plan),
        "baseline": plan.baseline,
        "matched": plan.matched,
        "margin": plan.margin,
        "schemes": list(plan.schemes),
        "data": {key: fact for key, fact in plan.data.items() if key != "group_bytes"},
        "arms": arms,
        "controls": controls,
        "statistics": _statistics(first),
        "looks": [dataclasses.asdict(look) for look in ran.looks],
        "smallest_detectable_difference": first.smallest_detectable_difference
        if first.seeds >= MIN_SEEDS
        else None,
        "to_halve": _to_halve(first, seconds / 60),
        "power": power(first, minutes_so_far=seconds / 60),
        **sections(plan, ran, results, arms),
        "published": published_section(plan, arms),
        "trials": rows,
        "warnings": [
            *dict.fromkeys(warnings),
            *map(_sentence, [*notes, *([ran.stopped] if ran.stopped else [])]),
            *_moved(environments),
        ],
        "held_equal": about.held_equal(plan, ran),
        "not_controlled": about.not_controlled(plan),
        "training": about.training(plan, ran),
        "command": last.get("command"),
        "environment": {key: last[key] for key in last if key not in _SESSION}
        | _where(environments)
        | _ran(results),
        "created": last.get("began"),
        "seconds": seconds,
        "paribus": paribus.__version__,
        "plan_sha256": plan.sha256,
    }


def _shown_scheme(judged: Mapping[str, Judgement], control: str) -> str:
    """The first scheme under which the control failed, or else was not judged, or else the first."""
    worst = [scheme for ok in (False, None) for scheme in judged if judged[scheme].controls[control].ok is ok]
    return [*worst, *judged][0]


def _found(control: ControlVerdict) -> str:
    """What a control's interval says, in the words of a verdict."""
    difference = control.difference
    if control.reason or difference is None or difference.low <= 0 <= difference.high:
        return "cannot tell"
    return "better" if difference.high < 0 else "worse"


def _said(arm: ArmVerdict) -> dict[str, Any]:
    """What one scheme by itself says of an arm."""
    return {
        "verdict": arm.verdict,
        "difference": difference_row(arm.difference),
        "lr": arm.rate,
        "mean": arm.mean,
        "reason": arm.reason,
    }


def _trial_row(plan: Plan, trial: Any, result: Mapping[str, Any] | None) -> dict[str, Any]:
    result = result or {"status": "missing"}
    train = getattr(trial, "train", None)
    return {
        "arm": trial.arm,
        "seed": trial.seed,
        "lr": trial.rate,
        "scheme": train.init_scheme if train is not None else None,
        "status": result["status"],
        "val_bpb": result.get("val_bpb"),
        "seconds": result.get("seconds"),
        "tokens": result.get("tokens"),
        "tokens_per_second": result.get("tokens_per_second"),
        "peak_memory_bytes": result.get("peak_memory_bytes"),
        "error": result.get("reason"),
        "run_id": plan.run_id(trial),
    }


def _statistics(judgement: Judgement) -> dict[str, Any]:
    return {
        "method": judgement.method,
        "confidence": judgement.level,
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


def _environments(results: Results, sessions: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Where the trials ran: those on other machines told it themselves, of the rest the sessions know."""
    done = [result for result in results.values() if result["status"] != "failed"]
    told = [result["machine"] for result in done if "machine" in result]
    return told if told and len(told) == len(done) else [*sessions, *told]


def _where(environments: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What these environments are; a list where they differ."""
    values = {
        key: list(dict.fromkeys(each[key] for each in environments if key in each)) for key in _ENVIRONMENT
    }
    return {key: seen[0] if len(seen) == 1 else seen for key, seen in values.items() if seen}


def _sentence(note: str) -> str:
    return note[0].upper() + note[1:] + "."


def _moved(environments: Sequence[Mapping[str, Any]]) -> list[str]:
    """A warning when parts of the study ran on different machines or software."""
    if len({tuple(each.get(fact) for fact in _ENVIRONMENT) for each in environments}) <= 1:
        return []
    return ["Parts of this study ran in different environments, so times cannot be compared."]
