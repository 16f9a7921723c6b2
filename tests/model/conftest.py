"""Small models for the tests of `paribus.model`."""

from collections.abc import Callable
from typing import Any

import pytest

from paribus import registry
from paribus.model.config import SLOTS, ModelConfig

MakeConfig = Callable[..., ModelConfig]
#: Every part that a model can name, slot by slot; an activation is named as the feed-forward layer over it.
SWAPS = [(slot, name) for slot in SLOTS for name in registry.catalog()[slot]]
#: Beside its name, what a part needs of the model around it.
NEEDS: dict[tuple[str, str], dict[str, Any]] = {("attention", "gqa"): {"num_heads": 4, "num_kv_heads": 2}}


def swapped(slot: str, name: str, **changes: Any) -> dict[str, Any]:
    """The changes to a config that put the part into its slot."""
    return {**changes, slot: name, **NEEDS.get((slot, name), {})}


@pytest.fixture
def make_config() -> MakeConfig:
    """`make_config(**changes)`: two layers, and no two sizes alike."""

    def make(**changes: Any) -> ModelConfig:
        sizes = {"vocab_size": 13, "d_model": 8, "d_ff": 10, "num_layers": 2, "num_heads": 3, "head_dim": 4}
        return ModelConfig(**{**sizes, "max_seq_len": 9, **changes})

    return make
