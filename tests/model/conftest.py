"""Small models for the tests of `paribus.model`."""

from collections.abc import Callable
from typing import Any

import pytest

from paribus.model.config import ModelConfig

MakeConfig = Callable[..., ModelConfig]


@pytest.fixture
def make_config() -> MakeConfig:
    """`make_config(**changes)`: two layers, and no two sizes alike."""

    def make(**changes: Any) -> ModelConfig:
        sizes = {"vocab_size": 13, "d_model": 8, "d_ff": 10, "num_layers": 2, "num_heads": 3, "head_dim": 4}
        return ModelConfig(**{**sizes, "max_seq_len": 9, **changes})

    return make
