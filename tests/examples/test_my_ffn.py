"""The example of a user's own layer works as its first lines say."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from paribus import registry
from paribus.cli import app
from paribus.model.config import ModelConfig
from paribus.model.initialise import build
from paribus.study.planning import make_plan
from paribus.study.settings import resolve

ROOT = Path(__file__).parents[2]
ADDRESS = "examples/my_ffn.py:MyFFN"
DATA = {"name": "text", "sha256": "0" * 64}


@pytest.fixture(autouse=True, scope="module")
def forgotten_afterwards() -> Iterator[None]:
    """Other tests of this process must not find the example among the built-in layers."""
    yield
    module = registry._factory_from_file(str(ROOT / ADDRESS)).__module__
    registry._registry.remove(module)
    registry._factory_from_file.cache_clear()
    del sys.modules[module]


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_it_is_explained() -> None:
    result = CliRunner().invoke(app, ["explain", ADDRESS, "--json"])
    card = json.loads(result.stdout)
    assert (card["name"], card["slot"]) == ("my_ffn", "ffn") and "squared ReLU" in card["summary"]


def test_it_computes_its_formula() -> None:
    layer = registry.get("ffn", ADDRESS).build(d_model=3, d_ff=4)
    x = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))
    hidden = torch.relu(x @ layer.gate.weight.T) ** 2 * (x @ layer.value.weight.T)
    torch.testing.assert_close(layer(x), hidden @ layer.down.weight.T)


def test_it_makes_a_model_that_can_be_trained() -> None:
    config = ModelConfig(vocab_size=11, d_model=8, d_ff=12, num_layers=1, num_heads=2, ffn=ADDRESS)
    model = build(config, seed=0)
    model(torch.zeros(1, 3, dtype=torch.long)).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_it_is_an_arm_of_a_study_matched_to_the_others() -> None:
    plan = make_plan(resolve("default", {"arms": ["swiglu", ADDRESS]}), data=DATA)
    assert {"relu", "swiglu", "my_ffn"} <= {arm.name for arm in plan.arms}
    assert plan.arm("my_ffn").model.d_ff == plan.arm("swiglu").model.d_ff


def test_verify_has_nothing_to_hold_it_to() -> None:
    result = CliRunner().invoke(app, ["verify", ADDRESS])
    assert result.exit_code == 0 and "no oracle" in result.stderr
