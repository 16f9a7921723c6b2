from pathlib import Path
from typing import Any

import pytest

from paribus.errors import WorkError
from paribus.study.launchers.queue import TRIES, TrialQueue

from .conftest import trial

FAILED: dict[str, Any] = {"status": "failed", "reason": "by design"}
DONE: dict[str, Any] = {"status": "done"}


def test_a_worker_keeps_its_graph_and_then_takes_the_longest_queue_nobody_works_on() -> None:
    relu, swiglu, more = trial("relu"), trial("swiglu"), trial("relu", seed=1)
    trials = [relu, swiglu, more]
    assert TrialQueue(trials).take(last=swiglu.graph) == swiglu
    assert TrialQueue(trials).take() == relu
    assert TrialQueue(trials).take(busy={relu.graph}) == swiglu
    assert TrialQueue([]).take() is None


def test_an_arm_that_failed_three_times_in_a_row_is_set_aside_and_the_others_are_not() -> None:
    trials = [trial("relu", seed=seed) for seed in range(6)]
    other = trial("swiglu")
    queue = TrialQueue([*trials, other])
    for outcome in (FAILED, FAILED, DONE, FAILED, FAILED):
        taken = queue.take(last=trials[0].graph)
        assert taken is not None
        queue.finished(taken, outcome)
    assert len(queue) == 2
    queue.finished(trials[0], FAILED)
    assert queue.take(last=trials[0].graph) == other


def test_only_if_every_trial_failed_the_queue_complains_and_says_where_more_is() -> None:
    queue = TrialQueue([])
    queue.check()
    queue.finished(trial(), FAILED, log=Path("worker.log"))
    with pytest.raises(
        WorkError, match=r"every trial failed, the last with: by design; more is in worker\.log"
    ):
        queue.check()
    queue.finished(trial(seed=1), DONE)
    queue.check()


def test_a_lost_trial_is_tried_again_and_then_given_up() -> None:
    queue = TrialQueue([trial("swiglu")])
    lost = trial("relu")
    for _ in range(TRIES - 1):
        assert queue.lost(lost, "the node burned", reached=0) is None
        assert queue.take(last=lost.graph) == lost
    result = queue.lost(lost, "the node burned", reached=0)
    assert result == {"status": "failed", "reason": f"the node burned; so it ended {TRIES} times"}
    assert len(queue) == 1


def test_a_lost_trial_that_gets_further_each_time_is_not_given_up() -> None:
    lost = trial(steps=100)
    queue = TrialQueue([])
    for step in range(10, 100, 10):
        assert queue.lost(lost, "time is up", reached=step * lost.train.tokens_per_step) is None
        queue.take()
    for _ in range(TRIES - 2):
        assert queue.lost(lost, "time is up", reached=90 * lost.train.tokens_per_step) is None
    assert queue.lost(lost, "time is up", reached=90 * lost.train.tokens_per_step) is not None


def test_small_steps_of_a_lost_trial_add_up() -> None:
    lost = trial(steps=1000)
    queue = TrialQueue([])
    for step in range(0, 1000, 6):  # two of them are a hundredth
        assert queue.lost(lost, "time is up", reached=step * lost.train.tokens_per_step) is None


def test_a_lost_trial_of_an_arm_that_is_set_aside_is_not_tried_again() -> None:
    queue = TrialQueue([])
    for seed in range(3):
        queue.finished(trial(seed=seed), FAILED)
    assert queue.lost(trial(seed=3), "the node burned", reached=0) == {
        "status": "failed",
        "reason": "the node burned",
    }
