"""With a cache too a row's padding, its positions and its documents are its own."""

import itertools

import pytest
import torch

from paribus.model.cache import Cache

from .caching import ATTENTION, PIECES, POSITIONS, T, ids, in_pieces, model_of
from .conftest import MakeConfig


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
