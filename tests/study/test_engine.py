import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paribus.study import engine
from paribus.study.ledger import Ledger
from paribus.study.plan import Plan, Trial
from paribus.study.session import make
from paribus.study.settings import resolve
from paribus.text.data import Dataset

from .conftest import TINY, Heard, InlineLauncher, outcome

Planned = tuple[Plan, Dataset]


def _execute(
    planned: Planned, folder: Path, outcomes: Callable[[Trial], dict[str, Any] | None]
) -> tuple[engine.Ran, InlineLauncher, Heard, dict[str, Any]]:
    plan, data = planned
    launcher, heard = InlineLauncher(data, folder, outcomes), Heard()
    with Ledger(folder / "ledger", plan_sha256=plan.sha256, plan=plan.to_dict()) as ledger:
        ran = engine.execute(plan, ledger, launcher, listener=heard.listener())
        return ran, launcher, heard, ledger.results()


def _bowl(best: float) -> Callable[[Trial], dict[str, Any]]:
    """Losses with their minimum over the rates at `best`."""
    return lambda trial: outcome(2.0 + math.log(trial.rate / best) ** 2)


def test_every_trial_runs_once_and_none_again(planned: Planned, tmp_path: Path) -> None:
    _, first, heard, results = _execute(planned, tmp_path, _bowl(8e-2))
    _, second, again, _ = _execute(planned, tmp_path, _bowl(8e-2))
    assert len(first.ran) == len(results) == 4 * 3
    assert second.ran == []
    assert heard.tokens == sum(trial.tokens for trial in first.ran)
    assert again.plans[0][0] == again.plans[0][1]


def test_the_grid_grows_for_all_arms_until_the_minimum_is_inside(planned: Planned, tmp_path: Path) -> None:
    ran, launcher, heard, _ = _execute(planned, tmp_path, _bowl(32e-2))
    assert ran.rates == pytest.approx((4e-2, 8e-2, 16e-2, 32e-2, 64e-2))
    assert len(launcher.ran) == 4 * 5
    assert len(heard.notes) == 2


def test_an_endless_slope_stops_growing(planned: Planned, tmp_path: Path) -> None:
    ran, _, _, _ = _execute(planned, tmp_path, lambda trial: outcome(5 - trial.rate))
    assert len(ran.rates) == 3 + engine.MAX_EXTENSIONS


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


def _plan_of(corpus: Path, *overrides: str, **options: Any) -> Planned:
    prepared = make(
        resolve("default", {"data": str(corpus), "arms": ["relu", "swiglu"], **options}, [*TINY, *overrides])
    )
    assert prepared.data is not None
    return prepared.plan, prepared.data


def _noisy(sd: float, effects: dict[str, float]) -> Callable[[Trial], dict[str, Any]]:
    """A valley around the middle rate with noise by trial and these true differences."""

    def give(trial: Trial) -> dict[str, Any]:
        noise = random.Random(f"{trial.arm} {trial.rate} {trial.seed}").gauss(0, sd)
        return outcome(2 + 0.1 * math.log(trial.rate / 8e-2) ** 2 + noise + effects.get(trial.arm, 0.0))

    return give


def test_looking_stops_as_soon_as_nothing_is_open(corpus: Path, tmp_path: Path) -> None:
    planned = _plan_of(corpus, "until_resolved=true")
    (tmp_path / "clear").mkdir()
    ran, launcher, _, _ = _execute(
        planned, tmp_path / "clear", _noisy(0.001, {"swiglu": 0.3, "handicap": 0.3})
    )
    assert ran.seeds == (0, 1, 2, 3)
    assert [(look.seeds, look.resolved) for look in ran.looks] == [(4, ("swiglu",))]
    assert ran.alpha == 0.005
    assert len(launcher.ran) == 4 * 3 * 4


def test_looking_goes_on_to_the_last_seed_where_nothing_differs(corpus: Path, tmp_path: Path) -> None:
    planned = _plan_of(corpus, "until_resolved=true")
    ran, _, heard, _ = _execute(planned, tmp_path, _noisy(0.05, {"handicap": 0.3}))
    assert [look.seeds for look in ran.looks] == [4, 8, 16]
    assert ran.alpha == 0.03
    assert any("after 4 seeds still open: swiglu" in note for note in heard.notes)


def test_a_budget_ends_on_a_whole_seed_and_never_under_four(corpus: Path, tmp_path: Path) -> None:
    plan, data = _plan_of(corpus, "seeds=9")
    launcher, heard = InlineLauncher(data, tmp_path, _noisy(0.01, {})), Heard()
    with Ledger(tmp_path / "ledger", plan_sha256=plan.sha256, plan=plan.to_dict()) as ledger:
        ran = engine.execute(plan, ledger, launcher, listener=heard.listener(), budget_seconds=1e-9)
        assert ran.seeds == (0, 1, 2, 3)
        assert ran.stopped == "the budget was spent after 4 of 9 seeds"
        more = engine.execute(plan, ledger, launcher, listener=heard.listener(), budget_seconds=1e9)
        again = engine.execute(plan, ledger, launcher, listener=heard.listener(), budget_seconds=1e-9)
    assert again == more  # what is there counts, whatever it took
    assert more.seeds == tuple(range(9))
    assert more.stopped is None
    assert len(launcher.ran) == 9 * 3 * 4


def test_a_seed_that_was_begun_when_a_budget_ended_is_no_reason_to_forget_whole_ones(
    corpus: Path, tmp_path: Path
) -> None:
    plan, data = _plan_of(corpus, "seeds=9")
    launcher, heard = InlineLauncher(data, tmp_path, _noisy(0.01, {})), Heard()
    with Ledger(tmp_path / "ledger", plan_sha256=plan.sha256, plan=plan.to_dict()) as ledger:
        for trial in plan.trials(plan.rates)[: 6 * 3 * 4 + 5]:
            ledger.record(
                trial.key,
                arm=trial.arm,
                rate=trial.rate,
                seed=trial.seed,
                result=launcher.outcomes(trial) or {},
            )
        ran = engine.execute(plan, ledger, launcher, listener=heard.listener(), budget_seconds=1e-9)
    assert ran.seeds == tuple(range(6)) and ran.stopped == "the budget was spent after 6 of 9 seeds"
    assert not launcher.ran


@pytest.mark.parametrize("budget", [None, 1e9])
def test_the_grid_grows_four_times_with_a_budget_too(
    budget: float | None, corpus: Path, tmp_path: Path
) -> None:
    plan, data = _plan_of(corpus, "seeds=7")
    launcher, heard = InlineLauncher(data, tmp_path, lambda trial: outcome(5 - trial.rate)), Heard()
    with Ledger(tmp_path / "ledger", plan_sha256=plan.sha256, plan=plan.to_dict()) as ledger:
        ran = engine.execute(plan, ledger, launcher, listener=heard.listener(), budget_seconds=budget)
    assert len(ran.rates) == len(plan.rates) + engine.MAX_EXTENSIONS


def test_the_grid_grows_where_one_scheme_needs_it(corpus: Path, tmp_path: Path) -> None:
    planned = _plan_of(corpus, "schemes=[fan_in, normal_0.02]", "seeds=2")

    def give(trial: Trial) -> dict[str, Any]:
        return _bowl(8e-2 if trial.train.init_scheme == "fan_in" else 16e-2)(trial)

    ran, launcher, _, results = _execute(planned, tmp_path, give)
    assert ran.rates == pytest.approx((4e-2, 8e-2, 16e-2, 32e-2))
    assert len(launcher.ran) == 4 * 4 * 2 * 2
    plan = planned[0]
    tables = [
        engine.losses(plan, ran.rates, results, scheme=scheme)["relu"].mean(axis=1).argmin()
        for scheme in plan.schemes
    ]
    assert tables == [1, 2]


def test_a_study_of_stability_keeps_its_grid(corpus: Path, tmp_path: Path) -> None:
    prepared = make(
        resolve("quick", {"data": str(corpus)}, [*TINY, "model.d_model=8"], study="depth"), study="depth"
    )
    assert prepared.data is not None
    ran, _, _, _ = _execute((prepared.plan, prepared.data), tmp_path, lambda trial: outcome(5 - trial.rate))
    assert ran.rates == prepared.plan.rates
