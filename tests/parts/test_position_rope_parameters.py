"""What the `rope_parameters` of transformers are called here: the same angles and factors, below and above the length."""

import math
from typing import Any

import pytest
import torch
from transformers import NemotronConfig
from transformers.models.nemotron.modeling_nemotron import NemotronRotaryEmbedding

from paribus import registry
from paribus.parts.position.rope import RotaryPosition

K, LENGTH = 16, 64  # LENGTH: what the model was first trained on
SHORT, LONG = ([start + i / 4 for i in range(K // 2)] for start in (1.0, 2.0))


def yarn_factor(scale: float, mscale: float) -> float:
    return 0.1 * mscale * math.log(scale) + 1


#: The words of transformers, ours, and how long the model is to run.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], int]] = {
    "default": ({"rope_theta": 500.0}, {"name": "rope", "base": 500.0}, LENGTH),
    "default, partly": ({"partial_rotary_factor": 0.5}, {"name": "rope", "fraction": 0.5}, LENGTH),
    "linear": ({"rope_type": "linear", "factor": 3.0}, {"name": "rope_linear", "factor": 3.0}, LENGTH),
    "linear, partly": (
        {"rope_type": "linear", "factor": 3.0, "partial_rotary_factor": 0.5},
        {"name": "rope_linear", "factor": 3.0, "fraction": 0.5},
        LENGTH,
    ),
    "proportional": (
        {"rope_type": "proportional", "partial_rotary_factor": 0.25},
        {"name": "rope", "turning": 0.25},
        LENGTH,
    ),
    "proportional, squeezed": (
        {"rope_type": "proportional", "partial_rotary_factor": 0.5, "factor": 2.0},
        {"name": "rope_linear", "turning": 0.5, "factor": 2.0},
        LENGTH,
    ),
    "dynamic: its length is max_position_embeddings": (
        {"rope_type": "dynamic", "factor": 3.0, "rope_theta": 500.0},
        {"name": "rope_dynamic", "factor": 3.0, "base": 500.0, "original_length": LENGTH},
        LENGTH,
    ),
    "dynamic, partly": (
        {"rope_type": "dynamic", "factor": 3.0, "partial_rotary_factor": 0.5},
        {"name": "rope_dynamic", "factor": 3.0, "fraction": 0.5, "original_length": LENGTH},
        LENGTH,
    ),
    "yarn": (
        {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": LENGTH},
        {"name": "rope_yarn", "factor": 4.0, "original_length": LENGTH},
        4 * LENGTH,
    ),
    "yarn without a factor: that of the lengths": (
        {"rope_type": "yarn", "factor": None, "original_max_position_embeddings": LENGTH},
        {"name": "rope_yarn", "factor": 8.0, "original_length": LENGTH},
        8 * LENGTH,
    ),
    "yarn, every option": (
        {
            "rope_type": "yarn",
            "factor": 4.0,
            "original_max_position_embeddings": LENGTH,
            "beta_fast": 12.0,
            "beta_slow": 2.0,
            "truncate": False,
            "attention_factor": 1.7,
            "partial_rotary_factor": 0.5,
        },
        {
            "name": "rope_yarn",
            "factor": 4.0,
            "original_length": LENGTH,
            "fast": 12.0,
            "slow": 2.0,
            "truncate": False,
            "attention_factor": 1.7,
            "fraction": 0.5,
        },
        4 * LENGTH,
    ),
    "yarn, mscale over mscale_all_dim": (
        {
            "rope_type": "yarn",
            "factor": 16.0,
            "original_max_position_embeddings": LENGTH,
            "mscale": 1.0,
            "mscale_all_dim": 0.7,
        },
        {
            "name": "rope_yarn",
            "factor": 16.0,
            "original_length": LENGTH,
            "attention_factor": yarn_factor(16.0, 1.0) / yarn_factor(16.0, 0.7),
        },
        16 * LENGTH,
    ),
    "yarn, mscale alone counts nothing": (
        {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": LENGTH, "mscale": 0.7},
        {"name": "rope_yarn", "factor": 4.0, "original_length": LENGTH},
        4 * LENGTH,
    ),
    "llama3": (
        {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 2.0,
            "high_freq_factor": 5.0,
            "original_max_position_embeddings": LENGTH,
        },
        {"name": "rope_llama3", "factor": 8.0, "low": 2.0, "high": 5.0, "original_length": LENGTH},
        8 * LENGTH,
    ),
    "llama3, partly": (
        {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": LENGTH,
            "partial_rotary_factor": 0.5,
        },
        {"name": "rope_llama3", "factor": 8.0, "original_length": LENGTH, "fraction": 0.5},
        8 * LENGTH,
    ),
    "longrope without a factor: that of the lengths": (
        {
            "rope_type": "longrope",
            "short_factor": SHORT,
            "long_factor": LONG,
            "original_max_position_embeddings": LENGTH,
        },
        {
            "name": "rope_longrope",
            "short_factor": SHORT,
            "long_factor": LONG,
            "factor": 4.0,
            "original_length": LENGTH,
        },
        4 * LENGTH,
    ),
    "longrope with a factor of its own, partly": (
        {
            "rope_type": "longrope",
            "short_factor": SHORT[:4],
            "long_factor": LONG[:4],
            "factor": 32.0,
            "original_max_position_embeddings": LENGTH,
            "partial_rotary_factor": 0.5,
        },
        {
            "name": "rope_longrope",
            "short_factor": SHORT[:4],
            "long_factor": LONG[:4],
            "factor": 32.0,
            "original_length": LENGTH,
            "fraction": 0.5,
        },
        4 * LENGTH,
    ),
    "longrope with an attention_factor": (
        {
            "rope_type": "longrope",
            "short_factor": SHORT,
            "long_factor": LONG,
            "attention_factor": 1.3,
            "original_max_position_embeddings": LENGTH,
        },
        {
            "name": "rope_longrope",
            "short_factor": SHORT,
            "long_factor": LONG,
            "factor": 4.0,
            "attention_factor": 1.3,
            "original_length": LENGTH,
        },
        4 * LENGTH,
    ),
}


@pytest.mark.parametrize("length", [10, LENGTH, LENGTH + 1, 3 * LENGTH])
@pytest.mark.parametrize("case", CASES)
def test_angles_and_factors_are_those_of_transformers(case: str, length: int) -> None:
    words, options, longest = CASES[case]
    config = NemotronConfig(
        hidden_size=K,
        num_attention_heads=1,
        head_dim=K,
        max_position_embeddings=longest,
        rope_parameters={
            "rope_type": "default",
            "rope_theta": 10000.0,
            "partial_rotary_factor": 1.0,  # not the half that this config has by default
            **words,
        },
    )
    places = torch.arange(length)
    theirs = NemotronRotaryEmbedding(config)(torch.empty(1), places[None])

    given = dict(options)
    ours = registry.get("position", given.pop("name")).build(
        d_model=K, head_dim=K, num_heads=1, max_seq_len=longest, **given
    )
    assert isinstance(ours, RotaryPosition)
    state = ours.state(places, places, length=length)
    for name, expected in zip(("cos", "sin"), theirs, strict=True):
        actual = state[name].squeeze()  # theirs has each pair twice
        torch.testing.assert_close(torch.cat((actual, actual), dim=-1), expected[0], rtol=0, atol=1e-4)
