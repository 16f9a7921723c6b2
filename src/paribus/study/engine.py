"""Runs a plan to its end: finished trials are taken from the ledger, missing ones run, the grid grown.

The learning-rate grid is extended for all arms alike until every arm's minimum lies inside it. All of it
follows from the plan and the results, so an interrupted study goes on where it was and ends the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from paribus.study.launch import Launcher
from paribus.study.ledger import Ledger
from paribus.study.plan import Plan, Trial, extended
from paribus.study.verdict import needs_extension

MAX_EXTENSIONS = 4

Results = Mapping[str, Mapping[str, Any]]  # by trial key


@dataclass(frozen=True, kw_only=True)
class Listener:
    """What a study tells while it runs: tokens to go in all, tokens done, and each finished trial."""

    planned: Callable[[int, int], None]  # tokens already done, tokens in all
    tokens: Callable[[int], None]
    finished: Callable[[Trial, Mapping[str, Any]], None]
    note: Callable[[str], None]


def execute(plan: Plan, ledger: Ledger, launcher: Launcher, *, listener: Listener) -> tuple[float, ...]:
    """Run what is missing and return the grid of rates that was needed.

    Trials that failed in an earlier run are tried again, those that fail in this one are not. The grid
    grows at most four times; an arm that is still best on an edge then gets no verdict.
    """
    rates = plan.rates
    tried: set[str] = set()
    for extension in range(MAX_EXTENSIONS + 1):
        _run_missing(plan, rates, ledger, launcher, tried, listener)
        direction = needs_extension(losses(plan, rates, ledger.results()), rates)
        if direction is None:
            break
        if extension < MAX_EXTENSIONS:
            rates = extended(rates, direction)
            listener.note(
                "the best rate of some arm lies on the edge of the grid: the grid grows for all arms, now "
                + ", ".join(f"{rate:.3g}" for rate in rates)
            )
    return rates


def _run_missing(
    plan: Plan,
    rates: Sequence[float],
    ledger: Ledger,
    launcher: Launcher,
    tried: set[str],
    listener: Listener,
) -> None:
    trials = plan.trials(rates)
    results = ledger.results()
    missing = [
        trial
        for trial in trials
        if trial.key not in results or (results[trial.key]["status"] == "failed" and trial.key not in tried)
    ]
    total = sum(trial.train.tokens for trial in trials)
    listener.planned(total - sum(trial.train.tokens for trial in missing), total)
    for trial, result in launcher.run(missing, progress=listener.tokens):
        tried.add(trial.key)
        ledger.record(trial.key, arm=trial.arm, rate=trial.rate, seed=trial.seed, result=result)
        listener.finished(trial, result)


def losses(plan: Plan, rates: Sequence[float], results: Results) -> dict[str, np.ndarray]:
    """Held-out bits per byte [rates, seeds] of every arm: inf where it diverged, nan where it failed."""

    def loss(trial: Trial) -> float:
        result = results.get(trial.key)
        if result is None or result["status"] == "failed":
            return float("nan")
        return float("inf") if result["status"] == "diverged" else float(result["val_bpb"])

    return {
        arm.name: np.array([[loss(plan.trial(arm, rate, seed)) for seed in plan.seeds] for rate in rates])
        for arm in plan.arms
    }
