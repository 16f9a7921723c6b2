"""Windows: a layer that has one keeps no more than it, and sinks keep the first tokens beside the last."""

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from paribus.errors import RequestError
from paribus.model.cache import Cache
from paribus.model.transformer import Transformer

from .caching import PIECES, POSITIONS, T, assert_same, ids, in_pieces, model_of
from .conftest import MakeConfig

SINKS = [name for name in POSITIONS if name not in ("learned", "sinusoidal")]


@pytest.mark.parametrize("pieces", PIECES)
@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("window", [1, 4])
def test_a_layer_with_a_window_keeps_no_more_than_it(
    make_config: MakeConfig, window: int, position: str, pieces: str
) -> None:
    """Beside a layer that keeps all, so that biases and states are cut for one of them only."""
    attention = [{"name": "mha", "window": window}, "mha"]
    model = model_of(make_config(position=position, attention=attention))
    assert_same(model, PIECES[pieces])
    cache = Cache()
    with torch.inference_mode():
        for size, at in zip(PIECES[pieces], itertools.accumulate(PIECES[pieces], initial=0), strict=False):
            model(ids()[:, at : at + size], dtype=torch.float64, cache=cache)
    assert cache.layer(0, "attention").all()[0].shape[2] == window
    assert cache.layer(1, "attention").all()[0].shape[2] == T


@pytest.mark.parametrize("what", ["padding", "documents"])
def test_windows_know_padding_and_documents_of_what_they_keep(make_config: MakeConfig, what: str) -> None:
    attention = [{"name": "mha", "window": 3}, "mha"]
    model, pad = model_of(make_config(attention=attention, position="alibi")), torch.tensor([[0], [3]])
    given = {
        "padding": {
            "valid_BT": torch.arange(T) >= pad,
            "position_T": (torch.arange(T) - pad).clamp(min=0),
        },
        "documents": {
            "document_BT": torch.tensor([[0, 0, 0, 0, 1, 1, 1, 1, 1], [4, 4, 5, 5, 5, 5, 5, 5, 7]])
        },
    }[what]
    for pieces in PIECES.values():
        whole = in_pieces(model, ids(), [T], **given)
        torch.testing.assert_close(in_pieces(model, ids(), pieces, **given), whole, rtol=1e-6, atol=1e-6)


def reference_of_sinks(model: Transformer, tokens: Tensor, *, window: int, sinks: int) -> Tensor:
    """A pass over the first tokens and the last, at positions 0, 1, ..., for every token."""
    logits = []
    for end in range(1, tokens.shape[1] + 1):
        seen = tokens[:, :end]
        if end > window:
            seen = torch.cat((seen[:, :sinks], seen[:, end - (window - sinks) :]), dim=1)
        with torch.inference_mode():
            logits.append(model(seen, dtype=torch.float64)[:, -1:])
    return torch.cat(logits, dim=1)


@pytest.mark.parametrize("position", SINKS)
@pytest.mark.parametrize(
    "attention", ["mha", {"name": "mha", "window": 3}, {"name": "mha", "sinks": True}], ids=str
)
def test_sinks_of_one_layer_see_the_first_and_last_tokens_at_new_positions(
    make_config: MakeConfig, position: str, attention: Any
) -> None:
    """Exactly, also for a layer with a window of its own, which counts within the cache."""
    model = model_of(make_config(num_layers=1, position=position, attention=attention))
    tokens, cache = ids(14), Cache(window=6, sinks=2)
    with torch.inference_mode():
        pieces = [tokens[:, :4], *tokens[:, 4:].split(1, dim=1)]
        given = torch.cat([model(piece, dtype=torch.float64, cache=cache) for piece in pieces], 1)
    expected = reference_of_sinks(model, tokens, window=6, sinks=2)
    torch.testing.assert_close(given, expected, rtol=1e-6, atol=1e-6)
    assert cache.layer(0, "attention").all()[0].shape[2] == 6


@pytest.mark.parametrize("position", SINKS)
def test_sinks_change_nothing_until_the_window_is_full(make_config: MakeConfig, position: str) -> None:
    model, tokens = model_of(make_config(position=position)), ids(11)
    cache = Cache(window=T, sinks=4)
    with torch.inference_mode():
        whole = model(tokens[:, :T], dtype=torch.float64)
        given = [
            model(piece, dtype=torch.float64, cache=cache) for piece in tokens.split([5, 1, 1, 1, 1, 1, 1], 1)
        ]
        after = model(tokens, dtype=torch.float64)[:, -1:] if position != "rope_dynamic" else None
    torch.testing.assert_close(torch.cat(given[:5], 1), whole, rtol=1e-6, atol=1e-6)
    assert after is None or not torch.allclose(given[-1], after, rtol=1e-6, atol=1e-6)


def test_sinks_of_an_encoder_decoder_leave_its_memory_whole(make_config: MakeConfig) -> None:
    model = model_of(make_config(architecture="encoder_decoder", num_layers=1, encoder_layers=1))
    tokens, source, cache = ids(12), ids(8, seed=6), Cache(window=5, sinks=1)
    with torch.inference_mode():
        given = [model(one, dtype=torch.float64, cache=cache, source_BS=source) for one in tokens.split(1, 1)]
        seen = torch.cat((tokens[:, :1], tokens[:, -4:]), 1)
        expected = model(seen, dtype=torch.float64, source_BS=source)[:, -1:]
    torch.testing.assert_close(given[-1], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("position", ["learned", "sinusoidal"])
def test_positions_that_stand_in_the_stream_cannot_be_moved_by_sinks(
    make_config: MakeConfig, position: str
) -> None:
    with pytest.raises(RequestError, match="sinks.*window"):
        in_pieces_with(Cache(window=4, sinks=1), model_of(make_config(position=position)))


def in_pieces_with(cache: Cache, model: Transformer, **given: Any) -> Tensor:
    with torch.inference_mode():
        return model(ids()[:, :3], dtype=torch.float64, cache=cache, **given)


@pytest.mark.parametrize(
    "given", [{"valid_BT": torch.ones(2, 3, dtype=torch.bool)}, {"position_T": torch.arange(3)}]
)
def test_sinks_take_no_padding_and_no_positions(make_config: MakeConfig, given: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match="positions are counted within the cache"):
        in_pieces_with(Cache(window=4, sinks=1), model_of(make_config()), **given)


@pytest.mark.parametrize(
    "given", [{"sinks": 2}, {"sinks": 4, "window": 4}, {"window": 4}, {"sinks": -1, "window": 3}]
)
def test_sinks_need_a_larger_window(given: dict[str, int]) -> None:
    with pytest.raises(RequestError, match="larger window"):
        Cache(**given)
