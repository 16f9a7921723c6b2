import json
from pathlib import Path
from typing import Any

import pytest

from paribus.errors import WorkError
from paribus.study.folder import hold
from paribus.study.launch import ALLOCATOR, LocalLauncher, _next
from paribus.study.plan import Plan, Trial
from paribus.text.data import Dataset

from .conftest import InlineLauncher

Planned = tuple[Plan, Dataset]


def _launch(planned: Planned, folder: Path, trials: list[Trial]) -> dict[str, dict[str, Any]]:
    with (
        hold(folder) as lock,
        LocalLauncher(workers=2, threads=1, data=planned[1].folder, folder=folder, lock=lock) as launcher,
    ):
        return {trial.key: result for trial, result in launcher.run(trials, progress=lambda _: None)}


def test_workers_give_what_this_process_would(planned: Planned, tmp_path: Path) -> None:
    plan, data = planned
    trials = plan.trials(plan.rates)[:5]
    apart = _launch(planned, tmp_path, trials)
    here = {
        trial.key: result
        for trial, result in InlineLauncher(data, tmp_path).run(trials, progress=lambda _: None)
    }
    assert {key: result["val_bpb"] for key, result in apart.items()} == {
        key: result["val_bpb"] for key, result in here.items()
    }


def test_progress_adds_up_to_the_tokens_of_all_trials(planned: Planned, tmp_path: Path) -> None:
    plan, data = planned
    trials = plan.trials(plan.rates)[:4]
    seen: list[int] = []
    with (
        hold(tmp_path) as lock,
        LocalLauncher(workers=2, threads=1, data=data.folder, folder=tmp_path, lock=lock) as launcher,
    ):
        list(launcher.run(trials[:3], progress=seen.append))
        list(launcher.run(trials[3:], progress=seen.append))  # the same workers
    assert sum(seen) == sum(trial.train.tokens for trial in trials)


def test_a_part_that_raises_fails_its_trials_and_the_study_stops(planned: Planned, tmp_path: Path) -> None:
    plan, _ = planned
    broken = tmp_path / "broken.py"
    broken.write_text(
        "from paribus import FeedForward\n"
        "class Broken(FeedForward):\n"
        "    def forward(self, x):\n"
        "        raise ZeroDivisionError('by design')\n"
    )
    arm = plan.arm("relu")
    model = arm.model.to_dict() | {"ffn": f"{broken}:Broken"}
    trials = [
        Trial.from_json(_with_model(plan.trial(arm, rate, seed), model))
        for rate in plan.rates
        for seed in (0, 1)
    ]
    with pytest.raises(
        WorkError, match=r"3 trials in a row failed, the last with: ZeroDivisionError: by design"
    ):
        _launch(planned, tmp_path, trials)


def test_a_worker_that_dies_fails_its_trial_and_is_replaced(planned: Planned, tmp_path: Path) -> None:
    plan, _ = planned
    deadly = tmp_path / "deadly.py"
    deadly.write_text(
        "import os, signal\n"
        "from paribus import FeedForward\n"
        "class Deadly(FeedForward):\n"
        "    def forward(self, x):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    arm = plan.arm("relu")
    model = arm.model.to_dict() | {"ffn": f"{deadly}:Deadly"}
    doomed = Trial.from_json(_with_model(plan.trial(arm, 1e-3, 7), model))
    trials = [doomed, *plan.trials(plan.rates)[:3]]
    results = _launch(planned, tmp_path, trials)
    assert results[doomed.key]["status"] == "failed"
    assert "worker was killed" in results[doomed.key]["reason"]
    assert [results[trial.key]["status"] for trial in trials[1:]] == ["done"] * 3


def test_workers_start_with_their_allocator_and_thread_settings(planned: Planned, tmp_path: Path) -> None:
    plan, _ = planned
    telling = tmp_path / "telling.py"
    telling.write_text(
        "import os\n"
        "from paribus import FeedForward\n"
        "class Telling(FeedForward):\n"
        "    def forward(self, x):\n"
        "        raise ValueError(','.join(os.environ.get(k, '') for k in "
        f"{[*ALLOCATOR, 'OMP_NUM_THREADS', 'OMP_WAIT_POLICY']!r}))\n"
    )
    arm = plan.arm("relu")
    model = arm.model.to_dict() | {"ffn": f"{telling}:Telling"}
    results = _launch(planned, tmp_path, [Trial.from_json(_with_model(plan.trial(arm, 1e-3, 0), model))])
    said = next(iter(results.values()))["reason"]
    assert said == "ValueError: " + ",".join([*ALLOCATOR.values(), "1", "PASSIVE"])


def test_no_worker_outlives_an_abandoned_run(planned: Planned, tmp_path: Path) -> None:
    plan, data = planned
    with (
        hold(tmp_path) as lock,
        LocalLauncher(workers=2, threads=1, data=data.folder, folder=tmp_path, lock=lock) as launcher,
    ):
        next(launcher.run(plan.trials(plan.rates), progress=lambda _: None))
    with hold(tmp_path):  # the workers held the lock too
        pass


def test_a_worker_keeps_its_graph_and_then_takes_the_longest_queue_nobody_works_on(planned: Planned) -> None:
    plan, _ = planned
    relu, swiglu, placebo = (plan.trial(plan.arm(name), 1e-3, 0) for name in ("relu", "swiglu", "placebo"))
    waiting = [relu, swiglu, placebo]
    assert _next(list(waiting), last=swiglu.graph, busy=set()) == swiglu
    assert _next(list(waiting), last=None, busy=set()) == relu
    assert _next(list(waiting), last=None, busy={relu.graph}) == swiglu
    assert _next([], last=None, busy=set()) is None


def _with_model(trial: Trial, model: dict[str, Any]) -> str:
    return json.dumps({**json.loads(trial.to_json()), "model": model})
