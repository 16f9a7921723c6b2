"""A model like a real one, at any size."""

import math
from typing import Any

import pytest

from paribus.errors import RequestError
from paribus.families.family import family_of, interpret
from paribus.families.meaning import num_kv_heads
from paribus.families.scaling import scaled
from paribus.model.config import ModelConfig
from paribus.model.count import num_params

from .configs import CONFIGS


def _original(name: str) -> ModelConfig:
    return interpret(family_of(CONFIGS[name]), CONFIGS[name]).config


def _scaled(name: str, size: int | None, *, max_seq_len: int = 128, **given: Any) -> ModelConfig:
    return scaled(_original(name), vocab_size=257, max_seq_len=max_seq_len, size=size, given=given)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        *[(name, 1_000_000) for name in CONFIGS],
        *[(name, size) for name in ("llama", "gemma2") for size in (100_000, 10_000_000, 300_000_000)],
        ("gpt2", 1_200_000_000),
    ],
)
def test_parameters_are_as_many_as_asked_for(name: str, size: int) -> None:
    model, original = _scaled(name, size), _original(name)
    assert num_params(model) == pytest.approx(size, rel=0.05)
    assert model.vocab_size == 257 and model.max_seq_len == 128
    assert model.d_model % 8 == 0 and (model.d_model < 512 or model.d_model % 64 == 0)
    assert model.d_ff / model.d_model == pytest.approx(original.d_ff / original.d_model, rel=0.4)
    depth = original.num_layers * (model.d_model / original.d_model) ** 0.75
    assert abs(math.log(model.num_layers / depth)) < 1.2


@pytest.mark.parametrize("size", [1_000_000, 30_000_000])
def test_heads_share_keys_as_in_the_original(size: int) -> None:
    for name in ("llama", "gemma2", "qwen3", "falcon", "gpt2"):
        model, original = _scaled(name, size), _original(name)
        if num_kv_heads(original) == 1:
            assert num_kv_heads(model) == 1
        else:
            ratio = original.num_heads // num_kv_heads(original)
            assert model.num_heads == ratio * num_kv_heads(model)


def test_a_large_model_keeps_its_heads_and_its_shape() -> None:
    model = _scaled("llama", 1_200_000_000)
    assert (model.head_dim, model.d_model % 128, model.d_ff / model.d_model) == (128, 0, 3.5)
    assert model.num_heads * 128 == model.d_model


def test_where_heads_are_wider_than_the_model_they_stay_so() -> None:
    model = _scaled("qwen3", 20_000_000)
    assert model.head_dim is not None
    assert model.num_heads * model.head_dim == 2 * model.d_model


def test_without_a_size_it_has_its_own() -> None:
    model, original = _scaled("gpt2", None), _original("gpt2")
    assert (model.d_model, model.num_layers, model.num_heads, model.d_ff) == (768, 12, 12, 3072)
    assert model.ffn == original.ffn and model.vocab_size == 257


def test_what_is_given_stands_and_the_rest_makes_up_for_it() -> None:
    model = _scaled("gpt2", 1_000_000, num_layers=6, ffn="swiglu")
    assert model.num_layers == 6 and model.ffn == "swiglu"
    assert num_params(model) == pytest.approx(1_000_000, rel=0.05)
    assert _scaled("gpt2", 1_000_000, d_ff=512).d_ff == 512
    assert _scaled("gpt2", 1_000_000, num_heads=4).num_heads == 4


def test_a_width_without_a_size_takes_heads_that_divide_it() -> None:
    model = _scaled("llama", None, d_model=256, num_layers=3)
    assert (model.num_heads, num_kv_heads(model), model.head_dim, model.d_ff) == (4, 1, 64, 896)


@pytest.mark.parametrize("name", ["gpt2", "llama", "bert"])
def test_a_size_that_cannot_be_names_the_nearest(name: str) -> None:
    with pytest.raises(
        RequestError, match=r"about 2,000 parameters: the nearest has .* vocabulary of 257"
    ) as error:
        _scaled(name, 2000)
    assert "\n" not in str(error.value)
    with pytest.raises(RequestError, match="or fewer fixed sizes"):
        _scaled(name, 10_000_000, d_model=64, num_layers=1, d_ff=64, num_heads=4)


def test_the_encoder_keeps_its_share_of_the_depth() -> None:
    config = {**CONFIGS["t5"], "num_layers": 12, "num_decoder_layers": 4}
    original = interpret(family_of(config), config).config
    model = scaled(original, vocab_size=300, max_seq_len=64, size=20_000_000)
    assert model.encoder_layers == 3 * model.num_layers
