"""What may be said about one run."""

import dataclasses
from pathlib import Path

import pytest

from paribus.errors import RequestError
from paribus.model.config import ModelConfig
from paribus.study.single.settings import resolve
from paribus.train.config import TrainConfig

from .conftest import GPT2, config_file


def test_bare_names_find_their_section() -> None:
    settings = resolve(
        {"seed": 3}, ["ffn=relu2", "d_model=64", "tokens=5e5", "rate=1e-3", "model.norm=layernorm"]
    )
    section = settings.model_section()
    assert (section["ffn"], section["d_model"], section["norm"]) == ("relu2", 64, "layernorm")
    assert (settings.train.tokens, settings.rate, settings.seed) == (500_000, 1e-3, 3)


def test_no_bare_name_is_of_two_sections() -> None:
    of_model, of_train = (
        {field.name for field in dataclasses.fields(each)} for each in (ModelConfig, TrainConfig)
    )
    assert not of_model & of_train


def test_options_lie_over_a_file_and_overrides_over_both() -> None:
    file = {"data": "a", "seed": 1, "ffn": "relu", "model": {"d_model": 32}, "train": {"tokens": 10_000}}
    settings = resolve({"seed": 2, "data": None}, ["d_model=64"], file=file)
    assert (settings.data, settings.seed, settings.train.tokens) == ("a", 2, 10_000)
    assert (settings.model_section()["ffn"], settings.model_section()["d_model"]) == ("relu", 64)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("num_layer=2", "there is no setting num_layer; did you mean num_layers"),
        ("model.num_layer=2", "there is no setting model.num_layer; did you mean model.num_layers"),
        ("train.token=2", "there is no setting train.token; did you mean train.tokens"),
        ("vocab_size=5", "model.vocab_size cannot be set: the tokenizer"),
        ("max_seq_len=5", "model.max_seq_len cannot be set: train.seq_len"),
        ("d_model", "an override is key=value"),
        ("d_model=wide", "the setting model.d_model is 'wide'"),
        ("tokens=3", "is under two steps"),
        ("rate=0", "the setting rate is 0"),
        ("scores=0", "the setting scores is 0"),
        ("scale=1M", "scale is for like"),
        ("like=nowhere-at-all", "there is no file or folder nowhere-at-all"),
    ],
)
def test_what_cannot_be_is_one_sentence(override: str, said: str) -> None:
    with pytest.raises(RequestError) as error:
        resolve({}, [override])
    assert said in str(error.value) and "\n" not in str(error.value)


def test_a_checkpoint_brings_its_own_model() -> None:
    with pytest.raises(RequestError, match=r"model\.d_model cannot be set: with finetune the model is"):
        resolve({"finetune": "there"}, ["d_model=64"])
    with pytest.raises(RequestError, match="finetune draws none"):
        resolve({"finetune": "there"}, ["match_output_rms=true"])


def test_a_likeness_has_the_parts_of_its_original(tmp_path: Path) -> None:
    like = config_file(tmp_path / "gpt2", GPT2)
    settings = resolve({"like": like, "scale": "100K"}, ["num_layers=3", "seq_len=32"])
    section = settings.model_section()
    assert (section["position"], section["num_layers"], section["tie_embeddings"]) == ("learned", 3, True)
    assert settings.like is not None and settings.like.family == "gpt2"
    theirs, ours = settings.like.changes["params"]
    assert theirs == 329_600 and ours == pytest.approx(100_000, rel=0.05)
    assert settings.like.changes["max_seq_len"] == (1024, 32)


@pytest.mark.parametrize("scale", ["ten", "-5M", "0", "1.2.3M", "M", ""])
def test_a_scale_is_a_number_of_parameters(tmp_path: Path, scale: str) -> None:
    like = config_file(tmp_path / "gpt2", GPT2)
    with pytest.raises(RequestError, match="a scale is a number of parameters, such as 10M"):
        resolve({"like": like, "scale": scale})


def test_an_unknown_family_is_one_sentence(tmp_path: Path) -> None:
    like = config_file(tmp_path / "other", {"model_type": "lama"})
    with pytest.raises(RequestError, match="models of the type 'lama'.*did you mean llama"):
        resolve({"like": like})
