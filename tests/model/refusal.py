"""What is said to a config that cannot be."""

from typing import Any

import pytest

from paribus.errors import RequestError
from paribus.model.config import ModelConfig

SIZES = {"vocab_size": 11, "d_model": 8, "d_ff": 10, "num_layers": 1, "num_heads": 2}


def refusal(**changes: Any) -> str:
    with pytest.raises(RequestError) as caught:
        ModelConfig(**{**SIZES, **changes})
    sentence = str(caught.value)
    assert sentence and "\n" not in sentence and not sentence.endswith(".")
    return sentence
