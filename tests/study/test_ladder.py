import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paribus.errors import RequestError
from paribus.model.config import ModelConfig
from paribus.model.count import num_params
from paribus.study import ladder, results
from paribus.study.describe import describe_arm
from paribus.study.engine import Ran
from paribus.study.ladder import Rung, shape_near
from paribus.study.plan import Trial
from paribus.study.settings import resolve

from .conftest import TINY, outcome
from .test_results import SESSION

MODEL = ModelConfig(vocab_size=257, d_model=96, d_ff=384, num_layers=2, num_heads=3, ffn="relu")


@pytest.mark.parametrize("size", [120_000, 250_000, 500_000, 1_000_000, 4_000_000, 30_000_000])
def test_a_shape_is_near_its_size_and_keeps_its_proportions(size: int) -> None:
    shape = shape_near(MODEL, size)
    assert shape["d_model"] == 32 * shape["num_heads"]
    built = ModelConfig(**{**MODEL.to_dict(), **shape, "d_ff": 4 * shape["d_model"]})
    assert num_params(built) == pytest.approx(size, rel=0.3)
    assert 24 <= shape["d_model"] / shape["num_layers"] <= 96


def test_a_size_that_no_shape_has_is_refused() -> None:
    with pytest.raises(RequestError, match="no model of these proportions .* has about 3 parameters"):
        shape_near(MODEL, 3)


def test_grouped_heads_stay_grouped() -> None:
    grouped = dataclasses.replace(MODEL, num_heads=4, head_dim=24, num_kv_heads=2, attention="gqa")
    assert shape_near(grouped, 1_000_000)["num_heads"] % 2 == 0


def _rungs(corpus: Path) -> list[Rung]:
    settings = resolve("default", {"data": str(corpus), "arms": ["relu", "swiglu"], "seeds": 4}, TINY)
    return ladder.make(settings, [("8k", 8_000), ("16k", 16_000), ("32k", 32_000)], study="ffn")


def _made_up(loss: Callable[[Rung, Trial], float]) -> Callable[[Rung], dict[str, Any]]:
    """The study of a rung, in which every trial has this loss and what its rate costs."""

    def run(rung: Rung) -> dict[str, Any]:
        plan = rung.prepared.plan
        found = {
            trial.key: outcome(loss(rung, trial) + 0.1 * math.log(trial.rate / 8e-2) ** 2)
            for trial in plan.trials(plan.rates)
        }
        return results.build(plan, Ran(rates=plan.rates, seeds=plan.seeds), found, sessions=[SESSION])

    return run


def test_every_rung_has_as_many_tokens_a_parameter(corpus: Path) -> None:
    rungs = _rungs(corpus)
    ratios = [rung.prepared.plan.train.tokens / rung.params for rung in rungs]
    assert max(ratios) / min(ratios) < 1.1
    assert [rung.params for rung in rungs] == sorted(rung.params for rung in rungs)
    for rung in rungs:
        assert {arm.name for arm in rung.prepared.plan.arms} == {"relu", "swiglu", "placebo", "handicap"}


def test_sizes_cannot_vary_within_a_rung(corpus: Path) -> None:
    settings = resolve("default", {"data": str(corpus), "vary": {"model.num_layers": [1, 2]}}, ["match=none"])
    with pytest.raises(RequestError, match="a ladder sets d_model"):
        ladder.make(settings, [("1", 10_000), ("2", 20_000)], study="x")


def test_a_ladder_reports_the_trend_of_each_difference(corpus: Path, tmp_path: Path) -> None:
    """swiglu gains 0.1 bits per byte over relu with every doubling, and the slope says so."""
    rungs = _rungs(corpus)

    def loss(rung: Rung, trial: Trial) -> float:
        effect = -0.1 * math.log2(rung.params / rungs[0].params)
        extra = {"swiglu": effect, "handicap": 0.3}.get(trial.arm, 0.0)
        return 2.5 + 0.002 * ((trial.seed * 5 + len(trial.arm) + int(trial.rate * 1e3)) % 3) + extra

    summary, files = ladder.run(
        rungs, tmp_path / "out", name="ffn", run=_made_up(loss), command="paribus study ffn"
    )
    assert summary["kind"] == "ladder"
    (trend,) = summary["ladder"]["trends"]
    assert trend["arm"] == "swiglu" and trend["sizes"] == 3
    assert trend["slope"] == pytest.approx(-0.1, abs=0.01)
    assert trend["ci95"][0] < trend["slope"] < trend["ci95"][1]
    assert [size["label"] for size in summary["ladder"]["sizes"]] == ["8k", "16k", "32k"]
    # relu gains nothing from size here, so no compute can be said to take it to where swiglu is.
    worth = [size["arms"]["swiglu"]["compute"]["ratio"] for size in summary["ladder"]["sizes"]]
    assert worth == [None, None, None]
    assert summary["seconds"] == 180.0
    assert summary["answer"] == json.loads(files["results.json"].read_text())["answer"]
    assert "the difference from relu falls for swiglu" in summary["answer"]
    assert files["report.html"].exists()


def test_a_ladder_says_what_an_arm_is_worth_in_compute(corpus: Path, tmp_path: Path) -> None:
    """relu learns as 2 + C^-0.3 says, and swiglu as if it had half as much compute again."""
    rungs = _rungs(corpus)
    least = _flops(rungs[0])

    def loss(rung: Rung, trial: Trial) -> float:
        worth = 1.5 if trial.arm == "swiglu" else 1.0
        noise = 1e-5 * ((trial.seed * 5 + len(trial.arm)) % 3)
        return 2 + (worth * _flops(rung) / least) ** -0.3 + noise + 0.3 * (trial.arm == "handicap")

    summary, _ = ladder.run(rungs, tmp_path / "out", name="ffn", run=_made_up(loss), command="paribus")
    found = [size["arms"]["swiglu"]["compute"] for size in summary["ladder"]["sizes"]]
    for each in found:
        assert each["ratio"] == pytest.approx(1.5, rel=0.01)
        assert each["ci95"][0] < 1.5 < each["ci95"][1] < 1.6
    assert [each["extrapolated"] for each in found] == [False, False, True]


def test_two_sizes_have_no_curve(corpus: Path, tmp_path: Path) -> None:
    run = _made_up(lambda rung, trial: 2 + (_flops(rung) / 1e9) ** -0.3)
    summary, _ = ladder.run(_rungs(corpus)[:2], tmp_path / "out", name="ffn", run=run, command="paribus")
    assert [size["arms"]["swiglu"]["compute"] for size in summary["ladder"]["sizes"]] == [None, None]


def _flops(rung: Rung) -> float:
    plan = rung.prepared.plan
    return float(describe_arm(plan, plan.arm("relu"))["flops"])
