"""Biases by distance in whole models: what follows each other takes the short way, and it is the same bias."""

import pytest
import torch
from torch import Tensor

from paribus.model.cache import Cache
from paribus.model.config import ModelConfig
from paribus.model.transformer import Transformer

from ..parts.comparison import draw
from .conftest import MakeConfig

T = 7


def ids(length: int = T, *, seed: int = 5) -> Tensor:
    return torch.randint(13, (2, length), generator=torch.Generator().manual_seed(seed))


def model_of(config: ModelConfig) -> Transformer:
    model = Transformer(config).double()
    draw(model)
    return model


@pytest.mark.parametrize("architecture", ["decoder", "encoder", "encoder_decoder"])
@pytest.mark.parametrize("position", ["alibi", "t5"])
def test_places_that_are_given_in_order_change_nothing(
    make_config: MakeConfig, architecture: str, position: str
) -> None:
    model = model_of(make_config(architecture=architecture, position=position))
    given = {"source_BS": ids(5, seed=6)} if architecture == "encoder_decoder" else {}
    results = []
    for places in (None, torch.arange(T), torch.arange(T).expand(2, -1)):
        logits = model(ids(), dtype=torch.float64, position_T=places, **given)
        results.append([logits, *torch.autograd.grad(logits.pow(2).sum(), list(model.parameters()))])
    for short, *others in zip(*results, strict=True):
        for whole in others:
            torch.testing.assert_close(short, whole, rtol=1e-11, atol=1e-11 * short.abs().max().item())


@pytest.mark.parametrize("position", ["alibi", "t5"])
def test_gaps_between_places_that_are_given_count(make_config: MakeConfig, position: str) -> None:
    """Also after a cache was filled with them: a token alone is as far from its keys as was said."""
    model, gaps = model_of(make_config(position=position)), torch.tensor([0, 2, 3, 7, 8, 11, 12])
    with torch.inference_mode():
        whole = model(ids(), dtype=torch.float64, position_T=gaps)
        assert (whole - model(ids(), dtype=torch.float64)).abs().max() > 1e-3
        cache = Cache()
        model(ids()[:, :6], dtype=torch.float64, position_T=gaps[:6], cache=cache)
        last = model(ids()[:, 6:], dtype=torch.float64, cache=cache)
    torch.testing.assert_close(last, whole[:, 6:], rtol=1e-9, atol=1e-9)


def test_a_learned_bias_keeps_no_index_for_each_pair_unless_places_are_given(make_config: MakeConfig) -> None:
    model = model_of(make_config(position="t5", max_seq_len=40))

    def indices(places: Tensor | None) -> int:
        """Whole numbers kept for the backward pass."""
        kept: dict[int, Tensor] = {}

        def pack(x: Tensor) -> Tensor:
            if x.dtype == torch.int64:
                kept[x.untyped_storage().data_ptr()] = x
            return x

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            model(ids(40), position_T=places)
        return sum(x.numel() for x in kept.values())

    assert indices(None) < 40 * 40 <= indices(torch.arange(40))
