"""A cache changes what a token costs and not its logits: for every encoding, option and architecture."""

from typing import Any

import pytest
import torch

from paribus.errors import RequestError
from paribus.model.cache import Cache

from .caching import ATTENTION, PIECES, POSITIONS, T, assert_same, ids, in_pieces, model_of
from .conftest import SWAPS, MakeConfig, swapped


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
