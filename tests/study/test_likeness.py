"""A study whose baseline has the anatomy of a real model."""

from pathlib import Path
from typing import Any

import pytest

from paribus.errors import RequestError
from paribus.model.count import num_params
from paribus.study.likeness import read_scale
from paribus.study.planning import make_plan
from paribus.study.session import make
from paribus.study.settings import StudySettings, resolve

from .conftest import TINY
from .single.conftest import GPT2, LLAMA, config_file

OF_TRAINING = TINY[3:]


@pytest.fixture
def llama(tmp_path: Path) -> str:
    return config_file(tmp_path / "llama", LLAMA)


def _settings(
    like: str, *dotted: str, study: str = "ffn", scale: str = "60K", **options: Any
) -> StudySettings:
    return resolve(
        "default", {"model": {"like": like, "scale": scale}, **options}, [*OF_TRAINING, *dotted], study=study
    )


@pytest.mark.parametrize(
    ("text", "size"),
    [("10M", 10_000_000), ("500k", 500_000), ("1.2B", 1_200_000_000), (1e6, 1_000_000), ("1_000", 1000)],
)
def test_a_scale_may_be_said_in_many_ways(text: Any, size: int) -> None:
    assert read_scale(text) == size


def test_the_baseline_is_the_anatomy_and_one_slot_varies(llama: str) -> None:
    plan = make_plan(_settings(llama, vary={"ffn": ["relu2", "geglu"]}), data={"name": "x"})
    models = {arm.name: arm.model for arm in plan.arms if not arm.control}
    assert list(models) == ["swiglu(bias=false)", "relu2", "geglu"] or list(models) == [
        "swiglu",
        "relu2",
        "geglu",
    ]
    assert plan.baseline == next(iter(models))
    baseline = models[plan.baseline]
    assert num_params(baseline) == pytest.approx(60_000, rel=0.05)
    assert baseline.part_names()["attention"] == "gqa"
    for model in models.values():
        assert (model.d_model, model.num_layers, model.num_kv_heads, model.norm) == (
            baseline.d_model,
            baseline.num_layers,
            baseline.num_kv_heads,
            baseline.norm,
        )


def test_a_named_study_compares_its_parts_with_the_originals_own(tmp_path: Path) -> None:
    gpt2 = config_file(tmp_path / "gpt2", GPT2)
    plan = make_plan(_settings(gpt2, study="position"), data={"name": "x"})
    assert plan.baseline == "learned"
    assert [arm.name for arm in plan.arms].count("learned") == 1
    plan = make_plan(_settings(gpt2, study="norm"), data={"name": "x"})
    assert plan.baseline.startswith("layernorm")
    assert all(arm.model.ffn == {"name": "gelu_tanh", "bias": True} for arm in plan.arms)


def test_an_own_baseline_is_kept(llama: str) -> None:
    settings = _settings(llama, arms=["relu", "gelu"], baseline="gelu")
    assert (settings.arms, settings.baseline) == (["relu", "gelu"], "gelu")


def test_nothing_of_the_preset_stays_in_the_model(llama: str) -> None:
    section = _settings(llama, "model.num_layers=3", study="norm").model_section()
    assert section["num_layers"] == 3 and section["num_kv_heads"] is not None
    assert section["ffn"] != "gelu"  # the preset's


def test_a_file_may_say_it(llama: str, corpus: Path) -> None:
    file = {"model": {"like": llama, "scale": "60K"}, "arms": ["relu2"], "data": str(corpus), "seeds": 1}
    settings = resolve("default", {}, OF_TRAINING, file=file)
    prepared = make(settings, workers=1, threads=1)
    said = [note for note in prepared.notes if "anatomy" in note]
    assert len(said) == 1 and said[0].startswith(f"the baseline has the anatomy of {llama} (llama) with ")
    assert len([arm for arm in prepared.plan.arms if not arm.control]) == 2


@pytest.mark.parametrize(
    ("scale", "dotted", "said"),
    [
        ("big", (), "a scale is a number of parameters"),
        ("1K", (), "no model of these proportions has about 1,000 parameters"),
        ("60K", ("model.num_layer=2",), "there is no setting model.num_layer; did you mean num_layers"),
        ("60K", ("train.token=2",), "there is no setting train.token; did you mean train.tokens"),
        ("60K", ("model.like=3",), "like is the folder of a checkpoint"),
    ],
)
def test_what_cannot_be_is_one_sentence(llama: str, scale: str, dotted: tuple[str, ...], said: str) -> None:
    with pytest.raises(RequestError) as error:
        _settings(llama, *dotted, scale=scale)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_a_scale_alone_is_refused() -> None:
    with pytest.raises(RequestError, match="like is the folder of a checkpoint or its config.json"):
        resolve("default", {"model": {"scale": "1M"}})
