"""From trials to `results.json`, with made-up losses whose verdict is known."""

import json
import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from paribus.study import results
from paribus.study.describe import describe_arm
from paribus.study.engine import Ran
from paribus.study.plan import Plan, Trial
from paribus.study.planning import make_plan
from paribus.study.settings import StudySettings, resolve

from .conftest import outcome

DATA = {
    "name": "text",
    "sha256": "0" * 64,
    "bytes": 1000,
    "documents": 3,
    "train_bytes": 900,
    "heldout_bytes": 100,
    "scored_bytes": 96,
    "tokenizer": "bytes",
}
SESSION = {
    "workers": 2,
    "threads_per_worker": 1,
    "python": "3.11",
    "command": "paribus study ffn",
    "began": "2026-01-01T00:00:00+00:00",
    "seconds": 60.0,
}
SCHEMA = {
    *("study", "metric", "baseline", "matched", "data", "arms", "trials", "smallest_detectable_difference"),
    *("controls", "environment", "paribus"),
}
ARM = {
    *("name", "parts", "d_ff", "slot_params", "params", "flops_per_token", "lr", "values", "mean"),
    *("difference", "verdict", "tokens_per_second", "peak_memory_bytes"),
}
TRIAL = {"arm", "seed", "lr", "status", "val_bpb", "seconds"}


@pytest.fixture
def plan(settings: StudySettings) -> Plan:
    return make_plan(settings.model_copy(update={"seeds": 6}), data=DATA)


def _build(
    plan: Plan,
    give: Callable[[Trial], dict[str, Any] | None],
    *,
    sessions: Sequence[dict[str, Any]] = (SESSION,),
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    given = {trial.key: give(trial) for trial in plan.trials(plan.rates)}
    return results.build(
        plan,
        Ran(rates=plan.rates, seeds=plan.seeds),
        {key: result for key, result in given.items() if result is not None},
        sessions=sessions,
        notes=notes,
    )


def _noisy(effects: dict[str, float]) -> Callable[[Trial], dict[str, Any]]:
    """A bowl around the middle rate, shifted by arm, with a little noise by trial."""

    def give(trial: Trial) -> dict[str, Any]:
        noise = random.Random(trial.key).gauss(0, 0.01)
        bowl = 0.1 * math.log(trial.rate / 8e-2) ** 2
        return outcome(2.5 + bowl + noise + effects.get(trial.arm, 0.0))

    return give


HEALTHY = {"handicap": 0.3}


def test_results_have_the_published_schema_and_are_strict_json(plan: Plan) -> None:
    built = _build(plan, _noisy(HEALTHY))
    assert built.keys() >= SCHEMA
    assert all(arm.keys() >= ARM for arm in [*built["arms"], *built["controls"]])
    assert all(trial.keys() >= TRIAL for trial in built["trials"])
    assert json.loads(json.dumps(built, allow_nan=False)) == built


def test_controls_stand_apart_from_the_arms(plan: Plan) -> None:
    built = _build(plan, _noisy(HEALTHY))
    assert [arm["name"] for arm in built["arms"]] == ["relu", "swiglu"]
    assert {control["name"]: control["ok"] for control in built["controls"]} == {
        "placebo": True,
        "handicap": True,
    }


@pytest.mark.parametrize(("effect", "verdict"), [(-0.3, "better"), (0.3, "worse")])
def test_a_real_difference_gets_its_verdict(plan: Plan, effect: float, verdict: str) -> None:
    built = _build(plan, _noisy({**HEALTHY, "swiglu": effect}))
    baseline, arm = built["arms"]
    assert (baseline["verdict"], baseline["difference"]) == ("baseline", None)
    assert arm["verdict"] == verdict
    assert arm["difference"]["mean"] == pytest.approx(effect, abs=0.03)
    assert arm["mean"] - baseline["mean"] == pytest.approx(arm["difference"]["mean"])
    assert arm["difference"]["ci95"][0] < effect < arm["difference"]["ci95"][1]
    assert arm["lr"] == 8e-2


@pytest.mark.parametrize(("effect", "best"), [(-0.3, ["swiglu"]), (0.3, ["relu"]), (0.0, ["relu", "swiglu"])])
def test_the_group_of_the_best_is_marked(plan: Plan, effect: float, best: list[str]) -> None:
    built = _build(plan, _noisy({**HEALTHY, "swiglu": effect}))
    assert [arm["name"] for arm in built["arms"] if arm["indistinguishable_from_best"]] == best


def test_a_failed_control_is_the_first_warning(plan: Plan) -> None:
    built = _build(plan, _noisy({"placebo": 0.3, "handicap": 0.3}))
    assert built["controls"][0]["ok"] is False
    assert built["controls"][0]["verdict"] == "worse"
    assert "placebo" in built["warnings"][0]


def test_a_diverged_arm_is_named_and_not_averaged(plan: Plan) -> None:
    def give(trial: Trial) -> dict[str, Any]:
        return outcome(None, status="diverged") if trial.arm == "swiglu" else _noisy(HEALTHY)(trial)

    arm = _build(plan, give)["arms"][1]
    assert (arm["verdict"], arm["mean"], arm["difference"]) == ("diverged", None, None)
    assert arm["diverged_trials"] == 18


def test_missing_and_failed_trials_are_listed_as_such(plan: Plan) -> None:
    def give(trial: Trial) -> dict[str, Any] | None:
        if trial.arm == "swiglu" and trial.seed == 0:
            return None if trial.rate == 8e-2 else {"status": "failed", "reason": "RuntimeError: x"}
        return _noisy(HEALTHY)(trial)

    built = _build(plan, give)
    assert built["arms"][1]["verdict"] == "cannot tell"
    statuses = [
        trial["status"] for trial in built["trials"] if trial["arm"] == "swiglu" and trial["seed"] == 0
    ]
    assert sorted(statuses) == ["failed", "failed", "missing"]


def test_halving_costs_the_minutes_of_its_seeds(plan: Plan) -> None:
    built = _build(plan, _noisy(HEALTHY), sessions=[SESSION, SESSION])
    assert built["seconds"] == 120.0
    assert built["to_halve"]["minutes"] == pytest.approx(2.0 * built["to_halve"]["seeds"] / 6)


def test_a_rerun_of_a_finished_study_keeps_where_and_when_it_ran(plan: Plan) -> None:
    built = _build(plan, _noisy(HEALTHY))
    assert (built["command"], built["created"]) == ("paribus study ffn", "2026-01-01T00:00:00+00:00")
    assert built["environment"]["python"] == "3.11"
    assert not built["warnings"]


def test_a_study_that_moved_says_so(plan: Plan) -> None:
    built = _build(plan, _noisy(HEALTHY), sessions=[SESSION, {**SESSION, "python": "3.12"}])
    assert "different environments" in built["warnings"][-1]


@pytest.mark.parametrize(
    ("cpus", "said"), [(("B", "B"), "B"), (("B", "C"), ["B", "C"]), (("B", None), ["A", "B"])]
)
def test_the_environment_is_that_of_the_machines_that_ran_the_trials(
    plan: Plan, cpus: tuple[str, str | None], said: str | list[str]
) -> None:
    def give(trial: Trial) -> dict[str, Any]:
        cpu = cpus[trial.seed % 2]
        return _noisy(HEALTHY)(trial) | ({} if cpu is None else {"machine": {"cpu": cpu, "gpu": None}})

    built = _build(plan, give, sessions=[{**SESSION, "cpu": "A", "gpu": None}])
    assert built["environment"]["cpu"] == said and built["environment"]["gpu"] is None
    assert any("different environments" in each for each in built["warnings"]) == isinstance(said, list)


def test_notes_are_warnings_and_as_run_facts_stand_in_the_environment(plan: Plan) -> None:
    built = _build(plan, _noisy(HEALTHY), notes=["the models will run without torch.compile: x"])
    assert built["warnings"] == ["The models will run without torch.compile: x."]
    assert built["environment"]["compiled"] == "False"


def test_plan_rows_are_counted_from_the_built_model(plan: Plan) -> None:
    row = describe_arm(plan, plan.arm("swiglu"))
    assert row["slot_params"] == 3 * 12 * 32
    assert row["parts"]["ffn"] == "swiglu"


def test_a_slow_spell_of_the_machine_does_not_make_an_arm_slow(plan: Plan) -> None:
    """Trials of swiglu, which take half as long again when something else runs, as for most of its time it did."""

    def give(trial: Trial) -> dict[str, Any]:
        slow = 0.5 if trial.arm == "swiglu" and trial.seed > 1 else 1.0
        return _noisy(HEALTHY)(trial) | {"tokens_per_second": 1000.0 * slow}

    built = _build(plan, give)
    arm = next(row for row in built["arms"] if row["name"] == "swiglu")
    assert arm["tokens_per_second"] == 500 and arm["effective_speedup"]["throughput_ratio"] == 0.5
    low, high = arm["effective_speedup"]["throughput_ci95"]
    assert low < 0.5 and high > 1


def test_without_speeds_there_is_no_speedup_but_that_of_tokens(plan: Plan) -> None:
    built = _build(plan, lambda trial: _noisy(HEALTHY)(trial) | {"tokens_per_second": None})
    speedup = next(row for row in built["arms"] if row["name"] == "swiglu")["effective_speedup"]
    assert speedup["loss_factor"] > 0 and speedup["value"] is speedup["throughput_ratio"] is None
    assert speedup["ci95"] == speedup["throughput_ci95"] == [None, None]


@pytest.mark.parametrize(
    ("trained", "words", "said"),
    [
        ([], "AdamW, betas 0.9 and 0.95, eps 1e-08", "AdamW only;"),
        (
            ["train.optimiser=muon"],
            "Muon for the matrices of the blocks; for the rest AdamW, betas 0.9 and 0.95, eps 1e-08",
            "Muon only;",
        ),
    ],
)
def test_the_optimiser_is_named(trained: list[str], words: str, said: str) -> None:
    plan = make_plan(resolve("default", {"arms": ["relu", "swiglu"]}, trained, study="ffn"), data=DATA)
    built = _build(plan, _noisy(HEALTHY))
    assert built["training"]["optimizer"] == words
    assert any(f"Optimiser: {said}" in sentence for sentence in built["not_controlled"])


def test_optimisers_that_are_compared_are_all_named() -> None:
    settings = resolve("default", {"vary": {"train.optimiser": ["adamw", "muon"]}})
    built = _build(make_plan(settings, data=DATA), _noisy(HEALTHY))
    assert any("Optimiser: AdamW and Muon only;" in sentence for sentence in built["not_controlled"])
