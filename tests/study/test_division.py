"""How cores are divided: by the rule, by a measurement where it pays, and never otherwise than a study began."""

import dataclasses
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from paribus.study import division, environment, memory, session
from paribus.study.division import Division, chosen, divide, settle, worth_measuring
from paribus.study.plan import Plan
from paribus.study.settings import resolve
from paribus.text.data import Dataset, default_cache

Planned = tuple[Plan, Dataset]


@pytest.fixture
def long_plan(planned: Planned) -> Plan:
    plan = planned[0]
    arms = [
        dataclasses.replace(arm, train=dataclasses.replace(arm.train, tokens=4 * 10**9)) for arm in plan.arms
    ]
    return dataclasses.replace(plan, arms=tuple(arms))


def _settle(
    plan: Plan, *, workers: int | None = None, begun: int | None = None
) -> tuple[Division, list[str]]:
    said: list[str] = []
    rule, _ = divide(plan, workers=workers)
    return settle(plan, rule, workers=workers, begun=lambda _: begun, say=said.append), said


def _cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on a process dies before it has answered anything."""
    monkeypatch.setattr(sys, "executable", "/bin/false")


@pytest.mark.parametrize(
    ("cores", "given", "expected"),
    [
        (2, {}, (2, 1)),
        (8, {}, (8, 1)),
        (64, {}, (12, 5)),  # 12 trials: no more workers than that
        (8, {"workers": 2}, (2, 4)),
        (8, {"threads": 4}, (2, 4)),
        (1, {"workers": 3}, (3, 1)),
    ],
)
def test_cores_are_shared_out(
    planned: Planned,
    monkeypatch: pytest.MonkeyPatch,
    cores: int,
    given: dict[str, Any],
    expected: tuple[int, int],
) -> None:
    monkeypatch.setattr(environment, "cores", lambda: cores)
    monkeypatch.setattr(memory, "machine_bytes", lambda: 2**60)
    division, _ = divide(planned[0], **given)
    assert (division.workers, division.threads) == expected


def test_workers_are_as_many_as_memory_holds(planned: Planned, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, _ = planned
    need = max(memory.trial_bytes(arm.model, arm.train) for arm in plan.arms)
    monkeypatch.setattr(environment, "cores", lambda: 8)
    monkeypatch.setattr(memory, "machine_bytes", lambda: 3 * need)
    assert divide(plan) == (Division(workers=3, threads=2), ())
    division, notes = divide(plan, workers=5)
    assert (division.workers, notes) == (3, ("memory holds 3 workers, not 5",))


@pytest.mark.parametrize(
    ("measured", "threads"),
    [
        ({1: 100.0, 2: 60.0}, 1),
        ({1: 100.0, 2: 109.0}, 1),  # under a tenth: noise, perhaps
        ({1: 100.0, 2: 111.0}, 2),
        ({1: 100.0, 2: 120.0, 4: 150.0, 8: 149.0}, 4),
        ({1: 100.0, 2: 90.0, 4: 109.0, 8: 20.0}, 1),
    ],
)
def test_more_threads_have_to_gain_a_tenth(measured: dict[int, float], threads: int) -> None:
    assert chosen(measured) == threads


@pytest.mark.parametrize(
    ("cores", "threads", "tokens", "room", "gpu", "worth"),
    [
        (2, None, 4 * 10**9, 2**60, False, True),
        (2, None, 640, 2**60, False, False),  # over in seconds
        (1, None, 4 * 10**9, 2**60, False, False),
        (64, None, 4 * 10**9, 2**60, False, False),  # 12 trials
        (2, None, 4 * 10**9, 2**30, False, False),  # memory for one worker
        (2, None, 4 * 10**9, 2**60, True, False),
        (2, 2, 4 * 10**9, 2**60, False, False),
    ],
)
def test_a_division_is_measured_only_where_there_is_a_choice_and_it_pays(
    planned: Planned,
    monkeypatch: pytest.MonkeyPatch,
    cores: int,
    threads: int | None,
    tokens: int,
    room: int,
    gpu: bool,
    worth: bool,
) -> None:
    monkeypatch.setattr(environment, "cores", lambda: cores)
    monkeypatch.setattr(memory, "machine_bytes", lambda: room)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    plan, _ = planned
    arms = [
        dataclasses.replace(arm, train=dataclasses.replace(arm.train, tokens=tokens)) for arm in plan.arms
    ]
    plan = dataclasses.replace(plan, arms=tuple(arms))
    rule, _ = divide(plan, threads=threads)
    assert worth_measuring(plan, rule) is worth


def test_the_default_study_is_worth_it_and_the_quick_one_is_not(two_cores: None) -> None:
    for size, worth in (("quick", False), ("default", True)):
        plan = session.make_plan(resolve(size, {}), data={"name": "stdlib"})
        assert worth_measuring(plan, divide(plan)[0]) is worth


def test_a_division_is_measured_for_real_and_once(
    long_plan: Plan, quick_measurement: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, said = _settle(long_plan)
    assert found.measured.keys() == {"2x1", "1x2"}
    assert (found.workers, found.threads) in ((2, 1), (1, 2))
    assert "measuring once" in said[0] and said[1].startswith(f"cores divided into {found.workers}x")
    _cannot_start(monkeypatch)
    assert _settle(long_plan) == (found, said[1:])


@pytest.mark.parametrize(
    "change", [{"batch_size": 8}, {"seq_len": 8}, {"dtype": "float32"}, {"optimiser": "muon"}]
)
def test_another_step_is_measured_anew(
    long_plan: Plan, quick_measurement: None, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    long_plan = _trained(long_plan, dtype="bfloat16")
    division._keep(division._kept(long_plan), {1: 1.0, 2: 9.0})
    _cannot_start(monkeypatch)
    assert _settle(_trained(long_plan, tokens=5 * 10**9))[0].threads == 2  # of the same step
    _, said = _settle(_trained(long_plan, **change))
    assert "could not be measured" in said[1]


@pytest.mark.parametrize("text", ["", "[]", '{"2": 9.0}', '{"1": 1.0, "0": 9.0}', '{"1": "fast"}'])
def test_a_kept_measurement_that_is_broken_is_as_if_there_were_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "kept.json").write_text(text)
    assert division._read(tmp_path / "kept.json") == {}


def _trained(plan: Plan, **change: Any) -> Plan:
    arms = [dataclasses.replace(arm, train=dataclasses.replace(arm.train, **change)) for arm in plan.arms]
    return dataclasses.replace(plan, arms=tuple(arms))


def test_processes_that_die_leave_the_rule_and_a_sentence(
    long_plan: Plan, quick_measurement: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    _cannot_start(monkeypatch)
    found, said = _settle(long_plan)
    assert found == Division(workers=2, threads=1)
    assert "could not be measured (a process that measures died with code 1)" in said[1]
    assert not (default_cache() / "division").exists()


def test_a_program_that_is_not_there_leaves_the_rule_too(
    long_plan: Plan, quick_measurement: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    found, said = _settle(long_plan)
    assert found == Division(workers=2, threads=1) and "could not be measured" in said[1]


def test_a_measurement_that_other_work_disturbed_is_not_believed(
    long_plan: Plan, two_cores: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(division, "measure", lambda _: ({1: 1.0, 2: 9.0}, 0.6))
    found, said = _settle(long_plan)
    assert (
        found == Division(workers=2, threads=1) and "other work had the cores for 40% of the time" in said[1]
    )
    assert not (default_cache() / "division").exists()


def test_a_study_that_stands_keeps_its_threads(long_plan: Plan, two_cores: None) -> None:
    division._keep(division._kept(long_plan), {1: 9.0, 2: 1.0})
    found, said = _settle(long_plan, begun=2)
    assert (found.workers, found.threads) == (1, 2)
    assert said == ["the study goes on with 2 threads a worker, as it began"]
    assert _settle(long_plan, workers=2, begun=1)[0].threads == 1


@pytest.mark.parametrize("workers", [None, 2])
def test_a_study_is_found_again_on_a_machine_with_other_cores(
    long_plan: Plan, two_cores: None, workers: int | None
) -> None:
    """Its folder is named by its plan, and 64 cores for 12 trials had given each of them five threads."""
    division._keep(division._kept(long_plan), {1: 9.0, 2: 1.0})
    rule, _ = divide(long_plan, workers=workers)
    found = settle(
        long_plan,
        rule,
        workers=workers,
        begun=lambda plan: 5 if plan.threads == 5 else None,
        say=lambda sentence: None,
    )
    assert (found.workers, found.threads) == (workers or 1, 5)
