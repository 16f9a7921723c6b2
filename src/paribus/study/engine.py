"""Runs a plan to its end: finished trials are taken from the ledger, missing ones run, the grid grown.

The learning-rate grid is extended for all arms alike until every arm's minimum lies inside it. All of it
follows from the plan and the results, so an interrupted study goes on where it was and ends the same. Only a
budget of time looks at the clock, and only between whole seeds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from paribus.study.launch import Launcher
from paribus.study.ledger import Ledger
from paribus.study.plan import Plan, Trial, extended
from paribus.study.sources import UneditedLauncher
from paribus.study.verdicts import looks
from paribus.study.verdicts.judgement import Judgement
from paribus.study.verdicts.verdict import MIN_SEEDS, judge, needs_extension

MAX_EXTENSIONS = 4

Results = Mapping[str, Mapping[str, Any]]  # by trial key


@dataclass(frozen=True, kw_only=True)
class Listener:
    """What a study tells while it runs: tokens to go in all, tokens done, and each finished trial."""

    planned: Callable[[int, int], None]  # tokens already done, tokens in all
    tokens: Callable[[int], None]
    finished: Callable[[Trial, Mapping[str, Any]], None]
    note: Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Ran:
    """How far a study got: the grid that was needed, the seeds that every arm has, and every look on the way."""

    rates: tuple[float, ...]
    seeds: tuple[int, ...]
    looks: tuple[looks.Look, ...] = ()
    alpha: float = 0.05
    stopped: str | None = None  # why before its last seed, if for want of time


def execute(
    plan: Plan, ledger: Ledger, launcher: Launcher, *, listener: Listener, budget_seconds: float | None = None
) -> Ran:
    """Run what is missing, seed by seed where there is a budget, look by look where looks are planned.

    Trials that failed in an earlier run are tried again, those that fail in this one are not. The grid
    grows at most four times; an arm that is still best on an edge then gets no verdict. With a budget the study
    ends before the seed that would not fit, the time of earlier runs included, never under 4 seeds and never before
    a seed whose trials are all there. Raises
    `WorkError` when a file that the plan hashed is edited meanwhile.
    """
    launcher = UneditedLauncher(launcher, plan.code)
    clock = _Clock(ledger, budget_seconds)
    rates, grown, tried, taken = plan.rates, 0, set[str](), list[looks.Look]()
    seeds: tuple[int, ...] = ()
    for look in plan.looks:
        for count in _steps(len(seeds), look.seeds, by_seed=budget_seconds is not None):
            if (
                seeds
                and _is_missing(plan, rates, plan.seeds[:count], ledger)
                and clock.is_over(plan, rates, count)
            ):
                if len(plan.looks) > 1:
                    taken.append(_look(plan, rates, seeds, ledger, alpha=look.alpha))
                stopped = f"the budget was spent after {len(seeds)} of {plan.looks[-1].seeds} seeds"
                return Ran(rates=rates, seeds=seeds, looks=tuple(taken), alpha=look.alpha, stopped=stopped)
            seeds = plan.seeds[:count]
            rates, grown = _grow(plan, rates, grown, seeds, ledger, launcher, tried, listener)
        if len(plan.looks) > 1:
            found = _look(plan, rates, seeds, ledger, alpha=look.alpha)
            taken.append(found)
            if not found.goes_on:
                break
            listener.note(f"after {len(seeds)} seeds still open: {', '.join(found.unresolved)}")
    return Ran(rates=rates, seeds=seeds, looks=tuple(taken), alpha=look.alpha)


def _look(
    plan: Plan, rates: Sequence[float], seeds: Sequence[int], ledger: Ledger, *, alpha: float
) -> looks.Look:
    return looks.look(*judgements(plan, rates, seeds, ledger.results(), alpha=alpha).values())


class _Clock:
    """Whether the next seeds still fit the budget, going by what the seeds so far took."""

    def __init__(self, ledger: Ledger, budget: float | None) -> None:
        self._ledger, self._budget, self._began = ledger, budget, time.monotonic()
        self._earlier = sum(session["seconds"] for session in ledger.sessions())

    def is_over(self, plan: Plan, rates: Sequence[float], wanted: int) -> bool:
        if self._budget is None:
            return False
        spent = self._earlier + time.monotonic() - self._began
        results = self._ledger.results()
        done = sum(trial.key in results for trial in plan.trials(rates))
        return spent * len(plan.trials(rates, plan.seeds[:wanted])) > self._budget * done


def _is_missing(plan: Plan, rates: Sequence[float], seeds: Sequence[int], ledger: Ledger) -> bool:
    """Whether some trial of these seeds was never run."""
    results = ledger.results()
    return any(trial.key not in results for trial in plan.trials(rates, seeds))


def _steps(done: int, wanted: int, *, by_seed: bool) -> Sequence[int]:
    """How many seeds to have after each stretch of work; whole looks, or seed by seed from the fourth on."""
    if not by_seed:
        return [wanted]
    return [*range(max(done + 1, min(MIN_SEEDS, wanted)), wanted), wanted]


def _grow(
    plan: Plan,
    rates: tuple[float, ...],
    grown: int,
    seeds: Sequence[int],
    ledger: Ledger,
    launcher: Launcher,
    tried: set[str],
    listener: Listener,
) -> tuple[tuple[float, ...], int]:
    """Run these seeds on the grid and on as much more of it as some arm needs; that grid, and how often it has grown."""
    while True:
        _run_missing(plan, rates, seeds, ledger, launcher, tried, listener)
        direction = _direction(plan, rates, seeds, ledger.results())
        if direction is None or grown == MAX_EXTENSIONS:
            return rates, grown
        rates, grown = extended(rates, direction), grown + 1
        listener.note(
            "the best rate of some arm lies on the edge of the grid: the grid grows for all arms, now "
            + ", ".join(f"{rate:.3g}" for rate in rates)
        )


def _direction(plan: Plan, rates: Sequence[float], seeds: Sequence[int], results: Results) -> str | None:
    """Where the grid must grow for some arm under some scheme."""
    if not plan.extend:
        return None
    wanted = {
        needs_extension(losses(plan, rates, results, seeds=seeds, scheme=scheme), rates)
        for scheme in plan.schemes
    } - {None}
    return wanted.pop() if len(wanted) == 1 else "both" if wanted else None


def _run_missing(
    plan: Plan,
    rates: Sequence[float],
    seeds: Sequence[int],
    ledger: Ledger,
    launcher: Launcher,
    tried: set[str],
    listener: Listener,
) -> None:
    trials = plan.trials(rates, seeds)
    results = ledger.results()
    missing = [
        trial
        for trial in trials
        if trial.key not in results or (results[trial.key]["status"] == "failed" and trial.key not in tried)
    ]
    total = sum(trial.tokens for trial in trials)
    listener.planned(total - sum(trial.tokens for trial in missing), total)
    for trial, result in launcher.run(missing, progress=listener.tokens):
        tried.add(trial.key)
        ledger.record(trial.key, arm=trial.arm, rate=trial.rate, seed=trial.seed, result=result)
        listener.finished(trial, result)


def judgements(
    plan: Plan, rates: Sequence[float], seeds: Sequence[int], results: Results, *, alpha: float
) -> dict[str, Judgement]:
    """What the trials say under each initial scheme, by scheme.

    Schemes share `alpha`: each is a family of its own, and a false verdict under one of them would make the arm
    depend on the initialisation.
    """
    return {
        scheme: judge(
            losses(plan, rates, results, seeds=seeds, scheme=scheme),
            rates=rates,
            baseline=plan.baseline,
            controls=plan.controls,
            level=1 - alpha / len(plan.schemes),
            margin=plan.margin,
        )
        for scheme in plan.schemes
    }


def losses(
    plan: Plan,
    rates: Sequence[float],
    results: Results,
    *,
    seeds: Sequence[int] | None = None,
    scheme: str | None = None,
) -> dict[str, np.ndarray]:
    """Held-out bits per byte [rates, seeds] of every arm: inf where it diverged, nan where it failed."""

    def loss(trial: Trial) -> float:
        result = results.get(trial.key)
        if result is None or result["status"] == "failed":
            return float("nan")
        return float("inf") if result["status"] == "diverged" else float(result["val_bpb"])

    seeds, scheme = plan.seeds if seeds is None else seeds, scheme or plan.schemes[0]
    return {
        arm.name: np.array([[loss(plan.trial(arm, rate, seed, scheme)) for seed in seeds] for rate in rates])
        for arm in plan.arms
    }
