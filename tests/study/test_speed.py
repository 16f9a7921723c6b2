"""Throughput for match=time: arms are compared in the same round, whatever the machine does meanwhile."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from paribus.errors import WorkError
from paribus.study.launch import Launcher
from paribus.study.plan import Plan, Trial
from paribus.study.planning import make_plan
from paribus.study.settings import resolve
from paribus.study.speed import alone

SPEEDS = {"relu": 1000.0, "swiglu": 800.0}


class _Machine:
    """Runs nothing, and says of each trial what it would do at its `pace` of the moment."""

    def __init__(self, pace: Callable[[int], float] = lambda _: 1.0) -> None:
        self.pace, self.ran = pace, list[str]()

    def run(self, trials: Sequence[Trial], *, progress: Callable[[int], None]) -> Iterator[tuple[Trial, Any]]:
        for trial in trials:
            tokens = SPEEDS[trial.arm] * self.pace(len(self.ran))
            self.ran.append(trial.arm)
            yield trial, {"status": "done", "tokens_per_second": tokens}

    def make(self, workers: int, folder: Path, lock: int) -> AbstractContextManager[Launcher]:
        assert workers == 1
        return nullcontext(self)


@pytest.fixture
def plan() -> Plan:
    settings = resolve("default", {"arms": ["relu", "swiglu"]}, study="ffn")
    return make_plan(settings, data={"name": "text", "sha256": "0" * 64})


def _arms(plan: Plan) -> list[Any]:
    return [plan.arm(name) for name in SPEEDS]


def test_rounds_are_interleaved(plan: Plan) -> None:
    machine = _Machine()
    found = alone(plan, _arms(plan), machine.make)
    assert machine.ran == ["relu", "swiglu"] * 5
    assert found.tokens_per_second == SPEEDS and found.spread == 0


def test_a_machine_that_slows_down_changes_no_ratio_by_much(plan: Plan) -> None:
    """At half the speed from the middle on, blocks of one arm after the other would tell 0.4 and not 0.8."""
    found = alone(plan, _arms(plan), _Machine(lambda done: 1.0 if done < 5 else 0.5).make)
    assert found.tokens_per_second["swiglu"] / found.tokens_per_second["relu"] == pytest.approx(0.8)


def test_the_speeds_are_said(plan: Plan) -> None:
    calm = alone(plan, _arms(plan), _Machine().make)
    assert "relu 1,000, swiglu 800; half of the rounds agree within 0.0%" in calm.note()
    assert "nothing else to do" not in calm.note()


def test_rounds_that_disagree_are_said_to(plan: Plan) -> None:
    wild = alone(plan, _arms(plan), _Machine(lambda done: 1 + 0.3 * (done % 3)).make)
    assert wild.spread > 0.03 and "nothing else to do" in wild.note()


def test_it_is_measured_once(plan: Plan) -> None:
    first = alone(plan, _arms(plan), _Machine().make)
    again = _Machine()
    assert alone(plan, _arms(plan), again.make) == first and not again.ran


def test_an_arm_that_does_not_run_is_named(plan: Plan) -> None:
    class Failing(_Machine):
        def run(self, trials: Sequence[Trial], *, progress: Any) -> Iterator[tuple[Trial, Any]]:
            yield from ((trial, {"status": "failed", "reason": "no room"}) for trial in trials)

    with pytest.raises(WorkError, match="the speed of relu could not be measured: no room"):
        alone(plan, _arms(plan), Failing().make)
