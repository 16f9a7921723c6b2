import dataclasses
from typing import Any

import pytest

from paribus import registry
from paribus.errors import RequestError
from paribus.model.count import slot_params
from paribus.parts.ffn.gated import GatedFeedForward
from paribus.study.plan import Plan, Trial, extended
from paribus.study.planning import make_plan
from paribus.study.settings import StudySettings, resolve
from paribus.train.objectives import get_objective

DATA = {"name": "text", "sha256": "0" * 64}


def _plan(*overrides: str, **options: Any) -> Plan:
    return make_plan(resolve("default", options, overrides), data=DATA)


@pytest.mark.parametrize("d_model", [96, 192, 120])
def test_a_matched_study_of_every_ffn_is_matched(d_model: int) -> None:
    layers = sorted(name for name in registry.catalog()["ffn"] if not name.startswith("self_gate"))
    plan = _plan(f"model.d_model={d_model}", arms=layers)
    budget = slot_params(plan.arm("relu").model, "ffn")
    for arm in plan.arms:
        assert abs(slot_params(arm.model, "ffn") / budget - 1) <= 0.005
        assert slot_params(arm.model, "ffn") / budget - 1 == pytest.approx(arm.mismatch)


def test_a_one_matrix_gate_is_matched_where_the_baseline_is_as_small_and_refused_elsewhere() -> None:
    with pytest.raises(RequestError, match="whatever d_ff is.*model.d_ff"):
        _plan(arms=["self_gate_swish"])
    plan = _plan("model.d_ff=48", arms=["self_gate_swish"])
    assert slot_params(plan.arm("self_gate_swish").model, "ffn") == slot_params(plan.arm("relu").model, "ffn")


def test_vocabulary_and_positions_follow_the_objective() -> None:
    plan = _plan("model.architecture=encoder_decoder", "model.position=learned")
    model = plan.arm("relu").model
    lengths = get_objective("span_corruption").lengths(plan.train.seq_len)
    assert plan.train.objective == "span_corruption"
    assert model.vocab_size == get_objective("span_corruption").vocab_size(257, seq_len=plan.train.seq_len)
    assert model.max_seq_len == lengths.longest
    assert _plan().train.objective == "next_token" and _plan().arm("relu").model.vocab_size == 257


def test_an_objective_for_another_architecture_is_refused() -> None:
    with pytest.raises(RequestError, match="masked_token"):
        _plan("train.objective=masked_token")


def test_arms_differ_in_the_feed_forward_layer_alone() -> None:
    plan = _plan()
    base = plan.arm("relu").model
    for arm in plan.arms:
        assert dataclasses.replace(arm.model, ffn="relu", d_ff=base.d_ff) == base


def test_placebo_differs_by_salted_draws_and_handicap_by_tokens_alone() -> None:
    plan = _plan()
    relu, placebo, handicap = (plan.arm(name) for name in ("relu", "placebo", "handicap"))
    assert dataclasses.replace(placebo, name="relu", salted=(), control=False) == relu
    assert placebo.salted == ("ffn",)
    assert dataclasses.replace(handicap, name="relu", train=relu.train, control=False) == relu
    assert dataclasses.replace(handicap.train, tokens=relu.train.tokens) == relu.train
    assert handicap.train.tokens == 0.75 * relu.train.tokens
    assert plan.trial(handicap, 1e-3, 0).tokens == handicap.tokens == handicap.train.trained_tokens


def test_every_arm_meets_every_rate_and_seed_once() -> None:
    plan = _plan(seeds=3)
    trials = plan.trials(plan.rates)
    assert len(trials) == 6 * 3 * 3 == len({trial.key for trial in trials})
    assert len({(trial.arm, trial.rate, trial.seed) for trial in trials}) == len(trials)


def test_controls_share_the_baselines_graph_and_other_arms_do_not() -> None:
    plan = _plan()
    graph = {arm.name: plan.trial(arm, 1e-3, 0).graph for arm in plan.arms}
    assert graph["relu"] == graph["placebo"] == graph["handicap"]
    assert len(set(graph.values())) == 4


def test_a_trial_survives_json() -> None:
    trial = _plan("model.norm={name: rmsnorm, eps: 1e-5}").trials([1e-3])[-1]
    copy = Trial.from_json(trial.to_json())
    assert copy == trial
    assert copy.key == trial.key


def test_the_plans_hash_covers_data_and_every_setting() -> None:
    plan = _plan()
    assert plan.sha256 == _plan().sha256
    others = [
        _plan("train.clip=0.5"),
        _plan("model.num_layers=3"),
        _plan(seeds=5),
        _plan(rates=[1e-3, 2e-3, 4e-3]),
        _plan(base_seed=100),
        dataclasses.replace(plan, data={**DATA, "sha256": "1" * 64}),
    ]
    assert len({other.sha256 for other in [plan, *others]}) == 7


def test_a_gated_baseline_gets_the_same_budget() -> None:
    plan = _plan(baseline="swiglu")
    assert {arm.name: arm.model.d_ff for arm in plan.arms if not arm.control} == {
        "relu": 384,
        "gelu": 384,
        "swiglu": 256,
        "geglu": 256,
    }


def test_a_given_width_is_the_baselines_and_sets_the_budget() -> None:
    plan = _plan("model.d_ff=300")
    assert (plan.arm("relu").model.d_ff, plan.arm("swiglu").model.d_ff) == (300, 200)


def test_a_baseline_that_was_not_named_joins_the_arms() -> None:
    assert [arm.name for arm in _plan(arms=["swiglu"]).arms] == ["relu", "swiglu", "placebo", "handicap"]


def test_an_alias_names_the_same_arm(own_registry: registry.Registry) -> None:
    registry.part("ffn", "llama_ffn", aliases=("gated_silu",), formula="x", paper="here")(GatedFeedForward)
    assert _plan(arms=["gated_silu"]).arm("llama_ffn").model.ffn == "gated_silu"
    with pytest.raises(RequestError, match="'llama_ffn' is named twice"):
        _plan(arms=["gated_silu", "llama_ffn"])


def test_an_unknown_arm_offers_the_nearest() -> None:
    with pytest.raises(RequestError, match="no ffn called 'swigl'; did you mean swiglu"):
        _plan(arms=["relu", "swigl"])


def test_the_grid_grows_by_its_own_spacing() -> None:
    assert extended((1.0, 2.0, 4.0), "low") == (0.5, 1.0, 2.0, 4.0)
    assert extended((1.0, 2.0, 4.0), "high") == (1.0, 2.0, 4.0, 8.0)
    assert extended((1.0, 3.0, 9.0), "both") == pytest.approx((1 / 3, 1.0, 3.0, 9.0, 27.0))


def test_a_handicap_of_too_few_tokens_is_named(settings: StudySettings) -> None:
    short = settings.model_copy(update={"train": dataclasses.replace(settings.train, tokens=64 * 2)})
    with pytest.raises(RequestError, match=r"the handicapped control trains on 75% of it"):
        make_plan(short, data=DATA)


def test_an_arm_without_a_name_is_refused() -> None:
    with pytest.raises(RequestError, match="an arm is a name or a mapping with a name"):
        _plan("arms=[{swiglu: 1}]")
