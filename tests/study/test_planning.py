"""What is held equal: parameters by width, FLOPs and time by tokens, and controls that control something."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import paribus
from paribus import registry
from paribus import source as source_of
from paribus.errors import RequestError
from paribus.model.initialise import build, initialise
from paribus.model.transformer import slot_of
from paribus.study.match import params_in
from paribus.study.plan import Plan
from paribus.study.planning import code_versions, counted_slots, flops_per_token, make_plan
from paribus.study.settings import load_file, resolve

EXAMPLES = Path(__file__).parents[2] / "examples" / "studies"
DATA = {"name": "text", "sha256": "0" * 64}


def _plan(*overrides: str, study: str = "ffn", **options: Any) -> Plan:
    return make_plan(resolve("default", options, overrides, study=study), data=DATA, study=study)


def _slots(name: str) -> list[str]:
    return sorted(registry.catalog()[name])


@pytest.mark.parametrize("slot", ["norm", "residual", "position"])
def test_a_matched_study_of_every_part_of_a_slot_is_matched(slot: str) -> None:
    """Counted from the built models: what is swapped with the feed-forward layers, and nothing hidden."""
    plan = _plan("slot=" + slot, "model.d_model=96", arms=_slots(slot), baseline=_slots(slot)[0])
    counted = counted_slots([slot])
    budget = params_in(plan.arm(plan.baseline).model, counted)
    for arm in plan.arms:
        off = params_in(arm.model, counted) / budget - 1
        assert abs(off) <= 0.005
        assert off == pytest.approx(arm.mismatch)


def test_parameters_are_equal_where_the_width_divides_them() -> None:
    """A LayerNorm has d_model more parameters than an RMSNorm; two of them are one unit of an ungated layer."""
    plan = _plan(
        "slot=norm",
        "model.ffn=gelu",
        "model.final_norm=false",
        arms=["layernorm", "rmsnorm"],
        baseline="layernorm",
    )
    layernorm, rmsnorm = plan.arm("layernorm"), plan.arm("rmsnorm")
    assert rmsnorm.mismatch == 0
    assert rmsnorm.model.d_ff == layernorm.model.d_ff + 1


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.yaml")), ids=lambda file: file.stem)
def test_every_study_among_the_examples_can_be_planned(file: Path) -> None:
    given = load_file(file)
    study, size = str(given.pop("study", "ffn")), str(given.pop("preset", "default"))
    plan = make_plan(resolve(size, {}, (), study=study, file=given), data=DATA, study=study)
    assert all(abs(arm.mismatch) <= 0.005 for arm in plan.arms)


def test_an_arm_that_leaves_a_slot_to_its_default_is_matched_too() -> None:
    """Its layer is the default one, which is another than the baseline's and not free of charge."""
    plan = _plan(arms=["relu", {"name": "shorter", "set": {"train.tokens": 100_000}}])
    assert plan.arm("shorter").model.ffn != plan.arm("relu").model.ffn
    assert abs(plan.arm("shorter").mismatch) <= 0.005


def test_a_changed_size_is_matched_over_the_whole_body() -> None:
    plan = _plan(vary={"model.num_heads": [3, 1], "attention": ["mha", "mqa"]})
    for arm in plan.arms:
        body = params_in(arm.model, None)
        assert abs(body / params_in(plan.arm(plan.baseline).model, None) - 1) <= 0.005


def test_an_arm_that_cannot_be_matched_says_why_and_the_nearest_that_can() -> None:
    with pytest.raises(
        RequestError, match=r"cannot be matched to .* parameters: the nearest width, 1, has .*match=none"
    ):
        _plan(vary={"model.num_layers": [2, 24]})


def test_nothing_is_matched_where_nothing_should_be() -> None:
    plan = _plan("match=none", vary={"model.num_layers": [2, 24]})
    deep = plan.arm("num_layers=24")
    assert deep.model.d_ff == plan.arm("num_layers=2").model.d_ff
    assert deep.mismatch == pytest.approx(11, rel=0.01)


def test_arms_that_set_the_width_must_say_that_it_is_not_matched() -> None:
    with pytest.raises(RequestError, match="model.d_ff cannot be matched by params.*match=none"):
        _plan(vary={"model.d_ff": [100, 200]})
    plan = _plan("match=none", vary={"model.d_ff": [100, 200]})
    assert [arm.model.d_ff for arm in plan.arms if not arm.control] == [100, 200]


def test_flops_are_matched_by_tokens() -> None:
    """Attention over shorter heads costs the same; a placement with cross terms does not: so positions differ."""
    plan = _plan("match=flops", arms=["shaw", "rope"], baseline="rope", vary=None, slot="position")
    rope, shaw = plan.arm("rope"), plan.arm("shaw")
    assert flops_per_token(shaw) != flops_per_token(rope)
    spent = {
        arm.name: flops_per_token(arm) * arm.train.steps * arm.train.tokens_per_step for arm in (rope, shaw)
    }
    step = flops_per_token(shaw) * shaw.train.tokens_per_step
    assert abs(spent["shaw"] - spent["rope"]) <= step / 2
    assert spent["shaw"] / spent["rope"] - 1 == pytest.approx(shaw.compute_mismatch)
    assert rope.train.tokens == 400_000


def test_time_is_matched_by_tokens_from_a_given_throughput() -> None:
    settings = resolve("default", {"arms": ["relu", "swiglu"]}, ["match=time"])
    plan = make_plan(settings, data=DATA, throughput={"relu": 1000.0, "swiglu": 500.0})
    relu, swiglu = plan.arm("relu"), plan.arm("swiglu")
    assert swiglu.train.steps == round(relu.train.steps / 2)
    assert abs(swiglu.compute_mismatch) < 1 / swiglu.train.steps


def test_tokens_that_vary_cannot_be_matched() -> None:
    with pytest.raises(RequestError, match=r"differ in train.tokens cannot be matched by flops"):
        _plan("match=flops", vary={"train.tokens": [400_000, 300_000]})


@pytest.mark.parametrize(
    ("slot", "arms", "salted"),
    [
        ("ffn", ["relu", "gelu"], ("ffn",)),
        ("norm", ["rmsnorm", "layernorm"], ("*",)),
        ("position", ["rope", "none"], ("*",)),
    ],
)
def test_a_placebo_is_drawn_anew_where_there_is_something_to_draw(
    slot: str, arms: list[str], salted: tuple[str, ...]
) -> None:
    plan = _plan("slot=" + slot, "model.num_layers=1", arms=arms, baseline=arms[0])
    placebo = plan.arm("placebo")
    assert placebo.salted == salted
    one, other = build(placebo.model, seed=0), build(placebo.model, seed=0)
    initialise(other, seed=0, salted=placebo.salted)
    for (name, ours), (_, theirs) in zip(one.named_parameters(), other.named_parameters(), strict=True):
        drawn = float(ours.detach().std()) > 0
        expected = drawn and (salted == ("*",) or slot_of(name) in salted)
        assert torch.equal(ours, theirs) != expected, name


def test_initial_schemes_are_a_factor_of_the_whole_study() -> None:
    plan = _plan("schemes=[fan_in, normal_0.02]", seeds=2)
    trials = plan.trials(plan.rates)
    assert len(trials) == 6 * 3 * 2 * 2 == len({trial.key for trial in trials})
    assert {trial.train.init_scheme for trial in trials} == {"fan_in", "normal_0.02"}
    assert len({trial.graph for trial in trials}) == 4  # one program for both
    with pytest.raises(RequestError, match="no initial scheme 'fanin'"):
        _plan("schemes=[fanin]")


def test_a_look_plan_has_the_seeds_of_its_last_look() -> None:
    plan = _plan("until_resolved=true")
    assert [(look.seeds, look.alpha) for look in plan.looks] == [(4, 0.005), (8, 0.015), (16, 0.03)]
    assert len(plan.seeds) == 16


def test_studies_of_stability_have_no_verdict_to_control() -> None:
    plan = _plan(study="depth")
    assert plan.controls == () and not plan.extend
    assert {arm.model.part_names()["residual"] for arm in plan.arms} >= {"pre", "post", "deepnorm"}
    assert {arm.train.warmup for arm in plan.arms} == {0.1, 0.0}


def test_repetition_reads_less_text_more_often() -> None:
    plan = _plan(study="repetition")
    for arm in plan.arms:
        passes = arm.train.passes
        assert passes is not None
        assert arm.train.unique_tokens == pytest.approx(arm.tokens / passes, rel=0.01)
        assert arm.model == plan.arms[0].model


def test_diagnostics_are_measured_once_and_never_in_controls() -> None:
    plan = _plan(seeds=2)
    carried = [trial for trial in plan.trials(plan.rates) if "health" in trial.probes]
    assert {(trial.seed, trial.rate) for trial in carried} == {(0, rate) for rate in plan.rates}
    assert not {trial.arm for trial in carried} & set(plan.controls)
    timed = [trial for trial in carried if "reference_time" in trial.probes]
    assert [trial.rate for trial in timed] == [plan.rates[1]] * 4


def test_a_run_is_named_by_settings_data_code_and_threads() -> None:
    plan = _plan()
    trial = plan.trials(plan.rates)[0]
    others = [
        make_plan(resolve("default", {}), data={**DATA, "sha256": "1" * 64}).run_id(trial),
        make_plan(resolve("default", {}), data=DATA, threads=2).run_id(trial),
        plan.run_id(plan.trials(plan.rates)[1]),
    ]
    assert plan.run_id(trial) == _plan().run_id(trial)
    assert len({plan.run_id(trial), *others}) == 4


def test_a_run_is_named_by_the_source_that_computes_it_and_by_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    root = tmp_path / "paribus"
    shutil.copytree(Path(paribus.__file__).parent, root, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(paribus, "__file__", str(root / "__init__.py"))
    request.addfinalizer(source_of.digest.cache_clear)

    def source() -> str:
        source_of.digest.cache_clear()
        return code_versions([])["paribus source"]

    before = source()
    (root / "cli" / "study.py").write_text("")
    assert source() == before
    (root / "ops" / "attention_table.json").write_text("{}")
    assert (measured := source()) != before
    (root / "parts" / "norm" / "rmsnorm.py").write_text("")
    assert source() not in (before, measured)


def test_a_plan_comes_back_from_its_file() -> None:
    for study in ("ffn", "depth", "position"):
        plan = _plan(study=study)
        again = Plan.from_dict(plan.to_dict())
        assert again == plan
        assert again.sha256 == plan.sha256
    with pytest.raises(RequestError, match="format 99"):
        Plan.from_dict({**plan.to_dict(), "format": 99})
