"""A cache changes what a token costs and not its logits: for every encoding, option and architecture."""

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from paribus import registry
from paribus.errors import RequestError
from paribus.model.cache import Cache
from paribus.model.config import ModelConfig
from paribus.model.transformer import Transformer

from ..parts.comparison import draw
from .conftest import SWAPS, MakeConfig, swapped

V, T = 13, 9
#: How a text of nine tokens may be handed over.
PIECES = {
    "one at a time": [1] * 9,
    "the prompt first": [5, 1, 1, 1, 1],
    "chunks": [2, 4, 1, 2],
    "all at once": [9],
}
POSITIONS = tuple(registry.catalog()["position"])
ATTENTION: dict[str, dict[str, Any]] = {
    "a window": {"name": "mha", "window": 3},
    "grouped heads": {"name": "gqa"},
    "one key head": {"name": "mqa"},
    "sinks": {"name": "mha", "sinks": True},
    "a cap": {"name": "mha", "softcap": 0.8},
    "normed heads": {"name": "mha", "qk_norm": "rmsnorm"},
    "normed width": {"name": "mha", "qk_norm": "layernorm", "qk_norm_over": "width"},
    "everything": {
        "name": "gqa",
        "window": 3,
        "sinks": True,
        "softcap": 0.8,
        "qk_norm": "rmsnorm",
        "bias": True,
    },
    "biases of three, a clip": {"name": "gqa", "bias": "qkv", "clip": 0.8},
    "gains of each head": {"name": "gqa", "qk_norm": "rmsnorm", "qk_norm_over": "heads"},
}


def ids(length: int = T, *, seed: int = 5) -> Tensor:
    return torch.randint(V, (2, length), generator=torch.Generator().manual_seed(seed))


def model_of(config: ModelConfig) -> Transformer:
    model = Transformer(config).double().eval()
    draw(model)
    return model


def in_pieces(model: Transformer, tokens: Tensor, sizes: list[int], **given: Any) -> Tensor:
    """Logits of all tokens; what is given of each token is cut up as the tokens are."""
    cache, start, logits = Cache(), 0, []
    for size in sizes:
        piece = {
            key: value[..., start : start + size] if key.endswith("T") else value
            for key, value in given.items()
        }
        with torch.inference_mode():
            logits.append(model(tokens[:, start : start + size], dtype=torch.float64, cache=cache, **piece))
        start += size
    assert cache.length == start == tokens.shape[1]
    return torch.cat(logits, dim=1)


def assert_same(model: Transformer, sizes: list[int], *, length: int = T, **given: Any) -> None:
    tokens = ids(length)
    with torch.inference_mode():
        whole = model(tokens, dtype=torch.float64, **given)
    torch.testing.assert_close(in_pieces(model, tokens, sizes, **given), whole, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("pieces", PIECES)
@pytest.mark.parametrize(
    "position", [*POSITIONS, {"name": "learned", "offset": 2}, {"name": "alibi", "scale": 0.5}], ids=str
)
def test_every_encoding_goes_on_where_the_cache_ends(
    make_config: MakeConfig, position: str | dict[str, Any], pieces: str
) -> None:
    assert_same(model_of(make_config(position=position)), PIECES[pieces])


@pytest.mark.parametrize("position", [name for name in POSITIONS if name not in ("learned", "rope_dynamic")])
def test_encodings_that_go_past_the_length_do_so_with_a_cache(make_config: MakeConfig, position: str) -> None:
    """LongRoPE too as long as both of its lists are the same."""
    assert_same(model_of(make_config(position=position, max_seq_len=4)), PIECES["chunks"])


@pytest.mark.parametrize(
    "position",
    [
        {"name": "rope_dynamic"},
        {"name": "rope_longrope", "short_factor": [1.0, 1.0], "long_factor": [2.0, 3.0]},
    ],
    ids=["rope_dynamic", "rope_longrope"],
)
def test_frequencies_that_change_with_the_length_are_the_same_up_to_it_and_others_beyond(
    make_config: MakeConfig, position: dict[str, Any]
) -> None:
    """Cached keys stay as shorter texts rotated them: that is on the card, and any other way costs the whole text."""
    model = model_of(make_config(position=position, max_seq_len=5))
    assert_same(model, [2, 1, 1, 1], length=5)
    with torch.inference_mode():
        whole = model(ids(), dtype=torch.float64)
    cached = in_pieces(model, ids(), PIECES["one at a time"])
    assert (whole[:, -1] - cached[:, -1]).abs().max() > 1e-3
    assert cached.isfinite().all()


def test_a_learned_table_refuses_to_grow_past_its_end(make_config: MakeConfig) -> None:
    model = model_of(make_config(position="learned", max_seq_len=8))
    with pytest.raises(RequestError, match="8.*9"):
        in_pieces(model, ids(), PIECES["chunks"])


@pytest.mark.parametrize("pieces", PIECES)
@pytest.mark.parametrize("position", ["rope", "shaw", "t5"])
@pytest.mark.parametrize("what", ATTENTION)
def test_every_option_of_attention_has_the_same_logits(
    make_config: MakeConfig, what: str, position: str, pieces: str
) -> None:
    groups = {"num_kv_heads": 2} if ATTENTION[what]["name"] == "gqa" else {}
    config = make_config(num_heads=4, attention=ATTENTION[what], position=position, **groups)
    assert_same(model_of(config), PIECES[pieces])


@pytest.mark.parametrize(("slot", "name"), [key for key in SWAPS if key[0] in ("norm", "residual")])
def test_every_norm_and_placement_has_the_same_logits(make_config: MakeConfig, slot: str, name: str) -> None:
    assert_same(model_of(make_config(**swapped(slot, name))), PIECES["chunks"])


def test_patterns_keep_a_cache_for_each_layer(make_config: MakeConfig) -> None:
    config = make_config(
        num_layers=4,
        attention=[{"name": "mha", "window": 2}, "mha"],
        position=["rope", "alibi", "none", "shaw"],
    )
    assert_same(model_of(config), PIECES["chunks"])


@pytest.mark.parametrize("pieces", PIECES)
@pytest.mark.parametrize("residual", ["pre", "deepnorm"])
def test_an_encoder_decoder_reads_its_source_once(
    make_config: MakeConfig, residual: str, pieces: str
) -> None:
    config = make_config(architecture="encoder_decoder", encoder_layers=1, residual=residual, position="t5")
    model, source = model_of(config), ids(6, seed=6)
    valid = torch.arange(6) < torch.tensor([[6], [4]])
    assert_same(model, PIECES[pieces], source_BS=source)
    assert_same(model, PIECES[pieces], source_BS=source, source_valid_BS=valid)

    cache = Cache()
    with torch.inference_mode():
        whole = model(ids(), dtype=torch.float64, source_BS=source, source_valid_BS=valid)
        first = model(ids()[:, :4], dtype=torch.float64, cache=cache, source_BS=source, source_valid_BS=valid)
        rest = model(ids()[:, 4:], dtype=torch.float64, cache=cache)  # the source is remembered
    torch.testing.assert_close(torch.cat((first, rest), 1), whole, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("pieces", ["all at once", "the prompt first", "chunks"])
def test_padding_on_the_left_changes_nothing(make_config: MakeConfig, position: str, pieces: str) -> None:
    """A row padded in front, with its own positions, is the row alone: with a cache and without."""
    model, tokens = model_of(make_config(position=position)), ids()
    pad = torch.tensor([[0], [3]])
    valid = torch.arange(T) >= pad
    places = (torch.arange(T) - pad).clamp(min=0)
    given = {"valid_BT": valid, "position_T": places}
    padded = in_pieces(model, tokens, PIECES[pieces], **given)
    with torch.inference_mode():
        alone = model(tokens[1:, 3:], dtype=torch.float64)
        whole = model(tokens[:1], dtype=torch.float64)
    torch.testing.assert_close(padded[1:, 3:], alone, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(padded[:1], whole, rtol=1e-6, atol=1e-6)
    assert padded.isfinite().all()


@pytest.mark.parametrize("what", ATTENTION)
def test_padding_on_the_left_changes_nothing_with_any_option(make_config: MakeConfig, what: str) -> None:
    groups = {"num_kv_heads": 2} if ATTENTION[what]["name"] == "gqa" else {}
    model = model_of(make_config(num_heads=4, attention=ATTENTION[what], **groups))
    tokens, pad = ids(), torch.tensor([[2], [4]])
    given = {"valid_BT": torch.arange(T) >= pad, "position_T": (torch.arange(T) - pad).clamp(min=0)}
    padded = in_pieces(model, tokens, PIECES["the prompt first"], **given)
    for row, start in enumerate((2, 4)):
        with torch.inference_mode():
            alone = model(tokens[row : row + 1, start:], dtype=torch.float64)
        torch.testing.assert_close(padded[row : row + 1, start:], alone, rtol=1e-6, atol=1e-6)


def test_positions_go_on_from_the_last_of_each_row(make_config: MakeConfig) -> None:
    """After a padded prompt the next tokens need neither positions nor padding."""
    model, tokens = model_of(make_config(position="learned")), ids()
    pad = torch.tensor([[0], [3]])
    cache = Cache()
    with torch.inference_mode():
        model(
            tokens[:, :5],
            dtype=torch.float64,
            cache=cache,
            valid_BT=torch.arange(5) >= pad,
            position_T=(torch.arange(5) - pad).clamp(min=0),
        )
        rest = [model(tokens[:, at : at + 2], dtype=torch.float64, cache=cache) for at in (5, 7)]
        alone = [model(tokens[row : row + 1, start:], dtype=torch.float64) for row, start in ((0, 0), (1, 3))]
    for row in range(2):
        torch.testing.assert_close(torch.cat(rest, 1)[row], alone[row][0, -4:], rtol=1e-6, atol=1e-6)


def test_rows_of_one_position_may_go_on_with_positions_of_their_own(make_config: MakeConfig) -> None:
    model, tokens = model_of(make_config()), ids()
    cache = Cache()
    with torch.inference_mode():
        model(tokens[:, :4], dtype=torch.float64, cache=cache)
        given = torch.arange(4, 9).expand(2, -1)
        rest = model(tokens[:, 4:], dtype=torch.float64, cache=cache, position_T=given)
        whole = model(tokens, dtype=torch.float64)
    torch.testing.assert_close(rest, whole[:, 4:], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("pieces", PIECES)
@pytest.mark.parametrize("position", POSITIONS)
def test_documents_of_a_packed_row_are_as_if_alone(
    make_config: MakeConfig, position: str, pieces: str
) -> None:
    """With positions that start anew each document has the logits that it has in a row of its own."""
    model, tokens = model_of(make_config(position=position)), ids()
    documents = torch.tensor([[0, 0, 0, 0, 1, 1, 1, 1, 1], [4, 4, 5, 5, 5, 5, 5, 5, 7]])
    places = torch.tensor([[0, 1, 2, 3, 0, 1, 2, 3, 4], [0, 1, 0, 1, 2, 3, 4, 5, 0]])
    packed = in_pieces(model, tokens, PIECES[pieces], document_BT=documents, position_T=places)
    for row, starts in enumerate(([0, 4, 9], [0, 2, 8, 9])):
        for start, end in itertools.pairwise(starts):
            with torch.inference_mode():
                alone = model(tokens[row : row + 1, start:end], dtype=torch.float64)
            torch.testing.assert_close(packed[row : row + 1, start:end], alone, rtol=1e-6, atol=1e-6)


def test_tokens_of_no_said_document_go_on_with_the_last(make_config: MakeConfig) -> None:
    model, tokens = model_of(make_config()), ids()
    documents = torch.tensor([[0, 0, 1, 1], [2, 2, 2, 3]])
    said = torch.cat((documents, documents[:, -1:].expand(-1, 5)), dim=1)
    cache = Cache()
    with torch.inference_mode():
        whole = model(tokens, dtype=torch.float64, document_BT=said)
        model(tokens[:, :4], dtype=torch.float64, cache=cache, document_BT=documents)
        rest = model(tokens[:, 4:], dtype=torch.float64, cache=cache)
    torch.testing.assert_close(rest, whole[:, 4:], rtol=1e-6, atol=1e-6)


def test_padding_may_begin_after_a_cache_was_filled_without(make_config: MakeConfig) -> None:
    model, tokens = model_of(make_config()), ids()
    valid = torch.ones(2, T, dtype=torch.bool)
    valid[1, 6] = False
    cache = Cache()
    with torch.inference_mode():
        whole = model(tokens, dtype=torch.float64, valid_BT=valid)
        first = model(tokens[:, :5], dtype=torch.float64, cache=cache)
        rest = model(tokens[:, 5:], dtype=torch.float64, cache=cache, valid_BT=valid[:, 5:])
    torch.testing.assert_close(torch.cat((first, rest), 1), whole, rtol=1e-6, atol=1e-6)


def test_a_cache_grows_in_place_and_keeps_the_dtype(make_config: MakeConfig) -> None:
    model, cache = model_of(make_config()).float(), Cache()
    with torch.inference_mode():
        for at in range(T):
            model(ids()[:, at : at + 1], dtype=torch.bfloat16, cache=cache)
    keys, values = cache.layer(1, "attention").all()
    assert keys.shape == values.shape == (2, 3, T, 4)
    assert keys.dtype == values.dtype == torch.bfloat16


def test_an_encoder_has_nothing_to_keep(make_config: MakeConfig) -> None:
    with pytest.raises(RequestError, match="later tokens"):
        model_of(make_config(architecture="encoder"))(ids(), dtype=torch.float64, cache=Cache())


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


SINKS = [name for name in POSITIONS if name not in ("learned", "sinusoidal")]


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
