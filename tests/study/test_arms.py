from typing import Any

import pytest

from paribus.errors import RequestError
from paribus.study.arms import baseline_name, named_arms, varied
from paribus.study.settings import StudySettings, resolve


def _settings(*overrides: str, **options: Any) -> StudySettings:
    return resolve("default", options, overrides)


def test_parts_of_a_slot_are_arms_by_their_canonical_names() -> None:
    arms = named_arms(_settings("slot=position", arms=["rope", "nope"], baseline="rope"))
    assert arms == {"rope": {"model.position": "rope"}, "none": {"model.position": "nope"}}


def test_an_activation_is_that_of_the_two_matrix_layer() -> None:
    arms = named_arms(_settings("slot=activation", arms=["relu", {"name": "swish", "beta": 2.0}]))
    assert arms["relu"] == {"model.ffn": {"name": "ungated", "activation": "relu"}}
    assert arms["swish(beta=2.0)"]["model.ffn"]["activation_options"] == {"beta": 2.0}


def test_a_grid_is_every_combination_in_order() -> None:
    settings = _settings(vary={"ffn": ["relu", "swiglu"], "norm": ["rmsnorm", "layernorm"]})
    arms = named_arms(settings)
    assert list(arms) == ["relu, rmsnorm", "relu, layernorm", "swiglu, rmsnorm", "swiglu, layernorm"]
    assert arms["swiglu, layernorm"] == {"model.ffn": "swiglu", "model.norm": "layernorm"}
    assert baseline_name(settings, arms) == "relu, rmsnorm"


def test_parts_and_a_grid_cross() -> None:
    arms = named_arms(_settings(arms=["relu", "gelu"], vary={"train.beta2": [0.9, 0.99]}))
    assert list(arms) == ["relu, beta2=0.9", "relu, beta2=0.99", "gelu, beta2=0.9", "gelu, beta2=0.99"]


def test_an_arm_may_be_any_set_of_settings() -> None:
    arms = named_arms(
        _settings(
            arms=["relu", {"name": "llama", "set": {"ffn": "swiglu", "norm": "rmsnorm", "train.clip": 0.5}}]
        )
    )
    assert arms["llama"] == {"model.ffn": "swiglu", "model.norm": "rmsnorm", "train.clip": 0.5}


def test_a_pattern_is_one_arm() -> None:
    arms = named_arms(_settings(vary={"ffn": ["relu", ["relu", "swiglu"]]}))
    assert arms["relu+swiglu"] == {"model.ffn": ["relu", "swiglu"]}


def test_what_varies_is_what_arms_differ_in() -> None:
    arms = {
        "a": {"model.ffn": "relu", "model.norm": "rmsnorm"},
        "b": {"model.ffn": "gelu", "model.norm": "rmsnorm"},
        "c": {"model.ffn": "relu", "model.norm": "rmsnorm", "train.clip": 0.5},
    }
    assert varied(arms) == ("model.ffn", "train.clip")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"vary": {"nrom": ["a"]}}, r"no arm can set 'nrom'; did you mean norm"),
        ({"vary": {"model.d_modl": [8]}}, r"no arm can set 'model.d_modl'; did you mean model.d_model"),
        ({"vary": {"model.vocab_size": [8]}}, r"no arm can set 'model.vocab_size'"),
        ({"vary": {"norm": ["rmsnorm", "rmsnorm"]}}, r"'rmsnorm' is named twice"),
        ({"vary": {"norm": ["rms"]}}, r"there is no norm called 'rms'"),
        ({"vary": {"train.objective": ["next_token"]}}, r"cannot differ in train.objective: bits per byte"),
        ({"vary": {"train.init_scheme": ["fan_in"]}}, r"schemes=\[fan_in, normal_0.02\]"),
        ({"vary": {"ffn": ["relu"], "model.ffn": ["gelu"]}}, r"sets model.ffn twice: 'relu' and 'gelu'"),
        ({"arms": [{"name": "x", "set": 3}]}, r"an arm of settings is"),
        ({"arms": [{"name": "x", "set": {"norm": "rmsnorm"}, "more": 1}]}, r"an arm of settings is"),
        ({"vary": {"ffn": ["relu", 3]}}, r"an arm is a name or a mapping with a name"),
    ],
)
def test_what_cannot_be_an_arm_is_one_sentence(options: dict[str, Any], said: str) -> None:
    with pytest.raises(RequestError, match=said) as error:
        named_arms(_settings(**options))
    assert "\n" not in str(error.value)


def test_an_unknown_slot_offers_the_nearest() -> None:
    with pytest.raises(RequestError, match="no slot 'norms' to compare; did you mean norm"):
        named_arms(_settings("slot=norms"))


def test_a_baseline_that_is_no_arm_is_refused() -> None:
    settings = _settings(vary={"norm": ["rmsnorm", "layernorm"]}, baseline="dyt")
    with pytest.raises(RequestError, match="the baseline 'dyt' is not among the arms"):
        baseline_name(settings, named_arms(settings))
