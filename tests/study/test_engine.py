import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paribus.study import engine
from paribus.study.ledger import Ledger
from paribus.study.plan import Plan, Trial
from paribus.text.data import Dataset

from .conftest import Heard, InlineLauncher, outcome

Planned = tuple[Plan, Dataset]


def _execute(
    planned: Planned, folder: Path, outcomes: Callable[[Trial], dict[str, Any] | None]
) -> tuple[tuple[float, ...], InlineLauncher, Heard, dict[str, Any]]:
    plan, data = planned
    launcher, heard = InlineLauncher(data, folder, outcomes), Heard()
    with Ledger(folder / "ledger", plan_sha256=plan.sha256, plan=plan.to_dict()) as ledger:
        rates = engine.execute(plan, ledger, launcher, listener=heard.listener())
        return rates, launcher, heard, ledger.results()


def _bowl(best: float) -> Callable[[Trial], dict[str, Any]]:
    """Losses with their minimum over the rates at `best`."""
    return lambda trial: outcome(2.0 + math.log(trial.rate / best) ** 2)


def test_every_trial_runs_once_and_none_again(planned: Planned, tmp_path: Path) -> None:
    _, first, heard, results = _execute(planned, tmp_path, _bowl(8e-2))
    _, second, again, _ = _execute(planned, tmp_path, _bowl(8e-2))
    assert len(first.ran) == len(results) == 4 * 3
    assert second.ran == []
    assert heard.tokens == sum(trial.train.tokens for trial in first.ran)
    assert again.plans[0][0] == again.plans[0][1]


def test_the_grid_grows_for_all_arms_until_the_minimum_is_inside(planned: Planned, tmp_path: Path) -> None:
    rates, launcher, heard, _ = _execute(planned, tmp_path, _bowl(32e-2))
    assert rates == pytest.approx((4e-2, 8e-2, 16e-2, 32e-2, 64e-2))
    assert len(launcher.ran) == 4 * 5
    assert len(heard.notes) == 2


def test_an_endless_slope_stops_growing(planned: Planned, tmp_path: Path) -> None:
    rates, _, _, _ = _execute(planned, tmp_path, lambda trial: outcome(5 - trial.rate))
    assert len(rates) == 3 + engine.MAX_EXTENSIONS


def test_a_resumed_study_grows_to_the_same_grid(planned: Planned, tmp_path: Path) -> None:
    first, _, _, _ = _execute(planned, tmp_path, _bowl(32e-2))
    again, launcher, _, _ = _execute(planned, tmp_path, _bowl(32e-2))
    assert (again, launcher.ran) == (first, [])


def test_failed_trials_are_tried_again_by_the_next_run(planned: Planned, tmp_path: Path) -> None:
    def fails(trial: Trial) -> dict[str, Any]:
        failed = trial.arm == "swiglu" and trial.rate == 8e-2
        return {"status": "failed", "reason": "x"} if failed else _bowl(8e-2)(trial)

    _, _, _, results = _execute(planned, tmp_path, fails)
    assert sum(result["status"] == "failed" for result in results.values()) == 1
    _, launcher, _, results = _execute(planned, tmp_path, _bowl(8e-2))
    assert len(launcher.ran) == 1
    assert all(result["status"] == "done" for result in results.values())


def test_diverged_and_failed_trials_are_told_apart_from_numbers(planned: Planned) -> None:
    plan, _ = planned
    trials = plan.trials(plan.rates)
    results = {trial.key: outcome(2.0) for trial in trials}
    relu = [trial for trial in trials if trial.arm == "relu"]
    results[relu[0].key] = outcome(9.0, status="diverged")
    results[relu[1].key] = {"status": "failed", "reason": "x"}
    table = engine.losses(plan, plan.rates, results)["relu"]
    np.testing.assert_array_equal(table, [[np.inf], [np.nan], [2.0]])


def test_results_do_not_depend_on_the_order_of_trials(planned: Planned, tmp_path: Path) -> None:
    """Real training, forwards and backwards, gives the same bits."""
    plan, data = planned
    trials = plan.trials(plan.rates)[:6]
    launcher = InlineLauncher(data, tmp_path)
    forwards = {
        trial.key: result["val_bpb"] for trial, result in launcher.run(trials, progress=lambda _: None)
    }
    backwards = {
        trial.key: result["val_bpb"] for trial, result in launcher.run(trials[::-1], progress=lambda _: None)
    }
    assert forwards == backwards
    assert len(set(forwards.values())) == 6
