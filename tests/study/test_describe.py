"""What a report says of a study is true of the study at hand, whatever its arms differ in."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from paribus.errors import RequestError
from paribus.study import results
from paribus.study.describe import held_equal, not_controlled, notes, question, training
from paribus.study.engine import Ran
from paribus.study.pages.answer import answer
from paribus.study.plan import HANDICAP, Plan, Trial
from paribus.study.planning import make_plan
from paribus.study.settings import resolve

from .conftest import TINY, outcome
from .test_results import DATA, SESSION


def plan_of(
    vary: dict[str, list[Any]], *, study: str = "ffn", shape: Sequence[str] = TINY, **overrides: Any
) -> Plan:
    return make_plan(
        resolve("default", {"vary": vary} | overrides, shape, study=study), data=DATA, study=study
    )


def ran(plan: Plan, seeds: int | None = None) -> Ran:
    return Ran(rates=plan.rates, seeds=plan.seeds[:seeds])


def build(
    plan: Plan, loss: Callable[[Trial], float], *, seeds: int | None = None, **more: Any
) -> dict[str, Any]:
    over = ran(plan, seeds)
    found = {trial.key: outcome(loss(trial)) | more for trial in plan.trials(plan.rates, over.seeds)}
    return results.build(plan, over, found, sessions=[SESSION])


def bowl(effects: dict[str, float], *, middle: float = 8e-2) -> Callable[[Trial], float]:
    """A loss with its best rate at `middle`, and these differences of arms."""

    def loss(trial: Trial) -> float:
        rate = abs(trial.rate / middle - 1)
        return (
            2.5 + 0.1 * rate + 0.002 * ((3 * trial.seed + len(trial.arm)) % 5) + effects.get(trial.arm, 0.0)
        )

    return loss


# -- what was held equal


@pytest.mark.parametrize(
    ("vary", "said", "unsaid"),
    [
        ({"ffn": ["relu", "swiglu"]}, "starts from the same bits in every arm of a seed.", "but for"),
        ({"residual": ["pre", "post"]}, "but for the factor by which a placement scales", "whose width"),
        (
            {"norm": ["rmsnorm", "layernorm"]},
            "but for feed-forward layers, whose width matching moved",
            "factor",
        ),
    ],
)
def test_what_cannot_start_alike_is_named(vary: dict[str, list[Any]], said: str, unsaid: str) -> None:
    plan = plan_of(vary, shape=())
    starts = next(each for each in held_equal(plan, ran(plan)) if each.startswith("Every parameter"))
    assert said in starts and unsaid not in starts


@pytest.mark.parametrize(
    ("vary", "counted"),
    [
        ({"ffn": ["relu", "swiglu"]}, "Parameters of ffn:"),
        ({"residual": ["pre", "sandwich"]}, "Parameters of residual and norm and ffn:"),
        (
            {"model.num_layers": [1, 2], "ffn": ["relu", "swiglu"]},
            "Parameters of everything but embedding and head:",
        ),
    ],
)
def test_the_parameters_that_were_counted_are_named(vary: dict[str, list[Any]], counted: str) -> None:
    assert held_equal(plan := plan_of(vary, shape=()), ran(plan))[0].startswith(counted)


def test_arms_that_read_windows_of_other_lengths_are_scored_in_their_own() -> None:
    plan = plan_of({"train.seq_len": [8, 16]})
    said = "\n".join(held_equal(plan, ran(plan)))
    assert "in windows of each arm's own length" in said and "Held-out text: the same" not in said
    # And losses by document are those of other documents, of which there may be more.
    given = {arm.name: [1.0] * (4 if arm.train.seq_len == 8 else 7) for arm in plan.arms}
    plan.data["group_bytes"] = [10, 20, 30, 36]  # type: ignore[index]
    found = {
        trial.key: outcome(bowl({})(trial)) | {"heldout_nats": given[trial.arm]}
        for trial in plan.trials(plan.rates)
    }
    built = results.build(plan, ran(plan), found, sessions=[SESSION])
    assert all(row["bootstrap"] is None for row in built["arms"])


def test_a_study_of_depth_judges_no_rate_and_takes_one_scheme() -> None:
    vary = {"residual": ["pre", "post"]}
    plan = plan_of(vary, study="depth", kind="depth")
    assert not any("optimum" in each for each in held_equal(plan, ran(plan)))
    with pytest.raises(RequestError, match="depth runs under one initial scheme"):
        plan_of(vary, study="depth", kind="depth", schemes=["fan_in", "normal_0.02"])


def test_placements_with_different_norms_are_rows_of_their_own() -> None:
    plan = plan_of(
        {"residual": ["pre", "post"], "norm": ["rmsnorm", "layernorm"]}, study="depth", kind="depth"
    )
    found = {
        trial.key: outcome(2.0) if "rmsnorm" in trial.arm else outcome(None, status="diverged")
        for trial in plan.trials(plan.rates)
    }
    section = results.build(plan, ran(plan), found, sessions=[SESSION])["stability"]
    stable = {row["placement"]: row["lr"] for row in section["largest_stable_rate"]}
    assert stable == {
        "pre, norm=rmsnorm": plan.rates[-1],
        "pre, norm=layernorm": None,
        "post, norm=rmsnorm": plan.rates[-1],
        "post, norm=layernorm": None,
    }


# -- how it was trained


def test_settings_in_which_arms_differ_are_told_for_all() -> None:
    plan = plan_of({"train.optimiser": ["adamw", "muon"], "train.tokens": [640, 1280]})
    facts = training(plan, ran(plan))
    adamw = "AdamW, betas 0.9 and 0.95, eps 1e-08"
    assert facts["optimizer"] == f"{adamw} or Muon for the matrices of the blocks; for the rest {adamw}"
    assert facts["tokens"] == "640 or 1280" and facts["batch_size"] == 4


def test_only_seeds_that_ran_are_listed() -> None:
    plan = plan_of({"ffn": ["relu", "swiglu"]}, until_resolved=True)
    assert len(plan.seeds) == 16 and training(plan, ran(plan, 4))["seeds"] == [0, 1, 2, 3]


# -- questions and limits


@pytest.mark.parametrize(
    ("study", "vary", "asked"),
    [
        ("activation", {"ffn": ["relu", "gelu"]}, "Which activation is better"),
        ("activation", {"norm": ["rmsnorm", "layernorm"]}, "Which norm is better"),
        ("ffn", {"train.beta2": [0.9, 0.95]}, "Which combination of beta2 is better"),
    ],
)
def test_the_question_is_that_of_what_differs(study: str, vary: dict[str, list[Any]], asked: str) -> None:
    assert question(plan_of(vary, study=study)).startswith(f"{asked} on text")


def test_a_kind_asks_its_question_of_its_own_settings_only() -> None:
    position = plan_of({"position": ["rope", "alibi"]}, study="position", kind="position")
    assert question(position).startswith("Which position encoding is better, and how far")
    norms = plan_of({"norm": ["rmsnorm", "layernorm"]}, study="position", kind="position")
    assert question(norms).startswith("Which norm is better")


def test_shapes_that_differ_are_not_one_only() -> None:
    one, several = plan_of({"ffn": ["relu", "swiglu"]}), plan_of({"model.d_model": [12, 24]}, match="none")
    assert any(each.startswith("Depth and shape: one only") for each in not_controlled(one))
    assert not any(each.startswith("Depth and shape") for each in not_controlled(several))


def test_arms_of_one_size_are_not_said_to_differ_in_it() -> None:
    assert not notes(plan_of({"train.beta2": [0.9, 0.95]}, match="none"))
    assert "differ in size" in notes(plan_of({"ffn": ["relu", "swiglu"]}, match="none"))[0]


# -- verdicts


def test_three_seeds_find_nothing_detectable_and_judge_no_control() -> None:
    plan = plan_of({"ffn": ["relu", "swiglu"]}, seeds=3)
    built = build(plan, bowl({"handicap": 0.3}))
    assert built["smallest_detectable_difference"] is None
    handicap = next(control for control in built["controls"] if control["name"] == HANDICAP)
    assert handicap["ok"] is None and "3 seeds; a verdict needs at least 4" in handicap["reason"]


def test_every_reason_to_withhold_a_verdict_is_told_with_its_arms() -> None:
    plan = plan_of({"ffn": ["relu", "swiglu", "geglu"]})

    def give(trial: Trial) -> dict[str, Any]:
        if trial.arm == "swiglu" and trial.seed == 1:
            return outcome(None, status="failed")
        best = plan.rates[-1] if trial.arm == "geglu" else 8e-2
        return outcome(bowl({"handicap": 0.3}, middle=best)(trial))

    found = {trial.key: give(trial) for trial in plan.trials(plan.rates)}
    built = results.build(plan, ran(plan), found, sessions=[SESSION])
    reasons = {row["name"]: row["reason"] for row in built["arms"]}
    for name in ("swiglu", "geglu"):
        assert f"no verdict is given on {name}: {reasons[name]}" in answer(built)
    assert reasons["swiglu"] != reasons["geglu"]


# -- what tokens and passes are worth


def test_an_arm_that_needs_half_the_tokens_for_the_same_loss_is_twice_as_fast() -> None:
    plan = plan_of({"train.tokens": [1280, 640]})
    built = build(plan, bowl({"handicap": 0.3}), tokens_per_second=100.0)
    (arm,) = [row for row in built["arms"] if row["name"] != plan.baseline]
    speedup = arm["effective_speedup"]
    assert arm["tokens"] == 640
    assert speedup["loss_factor"] == speedup["value"] == pytest.approx(2.0, rel=0.05)


def test_the_speedup_is_of_one_scheme_also_where_a_control_stands_out_in_another() -> None:
    plan = plan_of({"ffn": ["relu", "swiglu"]}, schemes=["fan_in", "normal_0.02"])

    def loss(trial: Trial, *, extra: float) -> float:
        odd = trial.arm == "handicap" and trial.train.init_scheme == "normal_0.02"
        # Under the second scheme the handicap is best at the edge of the grid, so it is not judged.
        return (
            bowl({"handicap": 0.3, "swiglu": -0.1}, middle=plan.rates[-1] if odd else 8e-2)(trial)
            + odd * extra
        )

    first, second = (build(plan, lambda trial, extra=extra: loss(trial, extra=extra)) for extra in (0.0, 1.0))
    speedups = [
        next(row for row in built["arms"] if row["name"] == "swiglu")["effective_speedup"]
        for built in (first, second)
    ]
    assert speedups[0] == speedups[1]


def test_tokens_are_those_of_whole_steps_and_unequal_ones_are_told() -> None:
    plan = plan_of({"train.batch_size": [4, 18]})
    small, large = (arm for arm in plan.arms if not arm.control)
    assert (small.train.tokens, small.tokens) == (640, 640)
    assert large.tokens == 640 // (18 * 16) * 18 * 16 < 640
    built = build(plan, bowl({"handicap": 0.3}))
    assert [row["tokens"] for row in built["arms"]] == [640, large.tokens]
    (said,) = [note for note in notes(plan) if "in whole steps" in note]
    assert f"{large.tokens:,} to 640 tokens" in said
    assert not [note for note in notes(plan_of({"train.batch_size": [4, 8]})) if "in whole steps" in note]


def test_all_figures_of_a_control_are_of_the_scheme_under_which_it_fails() -> None:
    plan = plan_of({"ffn": ["relu", "swiglu"]}, schemes=["fan_in", "normal_0.02"])

    def loss(trial: Trial) -> float:
        odd = trial.arm == "placebo" and trial.train.init_scheme == "normal_0.02"
        return bowl({"handicap": 0.3, "placebo": 1.0 * odd})(trial)

    rows = {row["name"]: row for row in build(plan, loss)["controls"]}
    placebo, handicap = rows["placebo"], rows["handicap"]
    assert (placebo["ok"], placebo["scheme"], placebo["verdict"]) == (False, "normal_0.02", "worse")
    best = next(each for each in placebo["by_rate"] if each["lr"] == placebo["lr"])
    assert best["mean"] == pytest.approx(placebo["mean"], abs=0.02)
    assert placebo["mean"] - placebo["difference"]["mean"] == pytest.approx(handicap["mean"] - 0.3, abs=0.02)
    assert (handicap["ok"], handicap["scheme"]) == (True, "fan_in")


def test_excess_of_repetition_is_over_one_pass_and_nothing_else() -> None:
    def excess(plan: Plan) -> list[Any]:
        built = build(plan, bowl({"handicap": 0.3}))
        return [row["excess"] for row in built["repetition"]["arms"] if row["name"] != plan.baseline]

    passes = {"train.passes": [1, 2]}
    kind = {"study": "repetition", "kind": "repetition"}
    assert all(each["mean"] is not None for each in excess(plan_of(passes, **kind)))
    assert excess(plan_of(passes, **kind, baseline="passes=2")) == [None]
    assert excess(plan_of(passes | {"ffn": ["relu", "swiglu"]}, **kind)) == [None] * 3
