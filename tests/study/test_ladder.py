import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest

from paribus.errors import RequestError
from paribus.model.config import ModelConfig
from paribus.model.count import num_params
from paribus.study import ladder, results
from paribus.study.engine import Ran
from paribus.study.ladder import Rung, shape_near
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

    def run(rung: Rung) -> dict[str, Any]:
        plan = rung.prepared.plan
        effect = -0.1 * math.log2(rung.params / rungs[0].params)

        def loss(arm: str, rate: float, seed: int) -> float:
            noise = 0.002 * ((seed * 5 + len(arm) + int(rate * 1e3)) % 3)
            extra = {"swiglu": effect, "handicap": 0.3}.get(arm, 0.0)
            return 2.5 + 0.1 * math.log(rate / 8e-2) ** 2 + noise + extra

        found = {
            trial.key: outcome(loss(trial.arm, trial.rate, trial.seed)) for trial in plan.trials(plan.rates)
        }
        return results.build(plan, Ran(rates=plan.rates, seeds=plan.seeds), found, sessions=[SESSION])

    summary, files = ladder.run(rungs, tmp_path / "out", name="ffn", run=run, command="paribus study ffn")
    assert summary["kind"] == "ladder"
    (trend,) = summary["ladder"]["trends"]
    assert trend["arm"] == "swiglu" and trend["sizes"] == 3
    assert trend["slope"] == pytest.approx(-0.1, abs=0.01)
    assert trend["ci95"][0] < trend["slope"] < trend["ci95"][1]
    assert [size["label"] for size in summary["ladder"]["sizes"]] == ["8k", "16k", "32k"]
    assert summary["seconds"] == 180.0
    assert summary["answer"] == json.loads(files["results.json"].read_text())["answer"]
    assert "the difference from relu falls for swiglu" in summary["answer"]
    assert files["report.html"].exists()
