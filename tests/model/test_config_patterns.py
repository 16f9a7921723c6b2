"""ModelConfig's patterns of parts over layers, and its stacks."""

import json
from typing import Any

import pytest

from paribus.model.config import ModelConfig

from .refusal import SIZES, refusal


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"norm": ["layernorm", "rmsnorm"]}, ("norm", "ffn, position, attention")),
        ({"residual": ["pre", "post"]}, ("residual", "ffn, position, attention")),
        ({"ffn": ["swiglu", "gelu"], "num_layers": 3}, ("ffn", "divide 3", "has 2")),
        ({"ffn": []}, ("ffn", "divide 1", "has 0")),
        ({"attention": ["mha"] * 4, "num_layers": 2}, ("attention", "divide 2", "has 4")),
        (
            {
                "position": ["rope", "none"],
                "architecture": "encoder_decoder",
                "num_layers": 2,
                "encoder_layers": 3,
            },
            ("position", "2 and 3", "has 2"),
        ),
        ({"position": ["rope", "learned"], "num_layers": 2}, ("learned", "embeddings")),
        ({"position": ["sinusoidal", "none"], "num_layers": 2}, ("sinusoidal", "embeddings")),
        ({"ffn": ["swiglu", "swigluu"], "num_layers": 2}, ("swigluu", "swiglu")),
        ({"ffn": ["swiglu", {"name": "gelu", "bais": True}], "num_layers": 2}, ("gelu", "bais", "bias")),
        ({"ffn": ["swiglu", 3], "num_layers": 2}, ("ffn", "name")),
        ({"ffn": 3}, ("ffn", "name", "3")),
        ({"ffn": None}, ("ffn", "name", "None")),
    ],
)
def test_impossible_patterns_are_refused(changes: dict[str, Any], words: tuple[str, ...]) -> None:
    sentence = refusal(**changes)
    assert all(word in sentence for word in words), sentence


def test_a_pattern_names_its_parts_in_order() -> None:
    config = ModelConfig(**{**SIZES, "num_layers": 4}, ffn=["swiglu", {"name": "gelu", "bias": True}])
    assert config.part_names()["ffn"] == "swiglu,gelu"
    assert [config.part("ffn", layer)[0].name for layer in range(4)] == ["swiglu", "gelu"] * 2
    assert [config.part("ffn", layer)[1] for layer in range(2)] == [{}, {"bias": True}]
    assert ModelConfig(**config.to_dict()) == config
    assert ModelConfig(**json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("architecture", "given", "expected"),
    [
        ("decoder", {}, {"decoder": (0, 2, True, ("attention", "ffn"))}),
        ("encoder", {}, {"encoder": (2, 0, False, ("attention", "ffn"))}),
        (
            "encoder_decoder",
            {},
            {
                "encoder": (2, 2, False, ("attention", "ffn")),
                "decoder": (2, 2, True, ("attention", "cross_attention", "ffn")),
            },
        ),
        (
            "encoder_decoder",
            {"encoder_layers": 5},
            {
                "encoder": (5, 2, False, ("attention", "ffn")),
                "decoder": (5, 2, True, ("attention", "cross_attention", "ffn")),
            },
        ),
    ],
)
def test_stacks_are_those_of_the_architecture(
    architecture: str, given: dict[str, int], expected: dict[str, Any]
) -> None:
    stacks = ModelConfig(**{**SIZES, "num_layers": 2}, architecture=architecture, **given).stacks()
    found = {
        name: (stack.depth.encoder_layers, stack.depth.decoder_layers, stack.causal, stack.sublayers)
        for name, stack in stacks.items()
    }
    assert found == expected and list(found) == list(expected)
    assert {name: stack.depth.num_layers for name, stack in stacks.items()} == {
        name: each[0] if name == "encoder" else each[1] for name, each in expected.items()
    }
