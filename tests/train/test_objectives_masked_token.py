import numpy as np
import pytest
from scipy.stats import binomtest, chisquare

from paribus.errors import RequestError
from paribus.train.objectives import IGNORE, Examples, MaskedToken, mask_id

V = 1000
MASK = V


def made(
    rows: int, seq_len: int, *, share: float = 0.15, step: int = 0
) -> tuple[np.ndarray, Examples, np.ndarray]:
    """The text, its examples, and which positions are scored."""
    windows = np.random.default_rng(7).integers(0, V, (rows, seq_len + 1))
    examples = MaskedToken(share=share).examples(windows, seed=0, step=step, tokenizer_vocab=V)
    return windows[:, :-1], examples, examples.targets != IGNORE


def test_the_mask_is_the_only_id_added() -> None:
    assert mask_id(V) == MASK
    assert MaskedToken().vocab_size(V, seq_len=64) == V + 1


@pytest.mark.parametrize(
    ("seq_len", "scored"),
    [(2, 1), (3, 1), (7, 1), (10, 2), (20, 3), (30, 4), (64, 10), (128, 19), (512, 77)],
)
def test_round_of_share_times_length_positions_are_scored_in_every_row(seq_len: int, scored: int) -> None:
    _, _, chosen = made(50, seq_len)
    assert (chosen.sum(axis=1) == scored).all()
    assert MaskedToken().tokens_per_window(seq_len) == scored


def test_some_position_is_scored_and_some_is_not_whatever_the_share() -> None:
    assert MaskedToken(share=0.001).tokens_per_window(64) == 1
    assert MaskedToken(share=0.999).tokens_per_window(64) == 63


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(RequestError, match="share of masked_token lies between 0 and 1"):
        MaskedToken(share=share)


def test_targets_put_back_give_the_text() -> None:
    text, examples, chosen = made(30, 100)
    assert np.array_equal(np.where(chosen, examples.targets, examples.inputs), text)


def test_nothing_is_changed_where_nothing_is_scored() -> None:
    text, examples, chosen = made(30, 100)
    assert np.array_equal(examples.inputs[~chosen], text[~chosen])
    assert (examples.inputs[chosen] != text[chosen]).any()


def test_of_scored_positions_80_percent_are_masked_10_random_and_10_left() -> None:
    text, examples, chosen = made(400, 512)
    shown, true = examples.inputs[chosen], text[chosen]
    total = shown.size
    # A random id is the right one in one of V draws.
    for count, share in [
        ((shown == MASK).sum(), 0.8),
        (((shown != MASK) & (shown != true)).sum(), 0.1 * (1 - 1 / V)),
        ((shown == true).sum(), 0.1 + 0.1 / V),
    ]:
        assert binomtest(int(count), total, share).pvalue > 1e-4


def test_random_ids_are_uniform_over_the_tokenizers() -> None:
    text, examples, chosen = made(2000, 512)
    drawn = examples.inputs[chosen & (examples.inputs != MASK) & (examples.inputs != text)]
    assert (drawn.min(), drawn.max()) == (0, V - 1)
    assert chisquare(np.bincount(drawn, minlength=V)).pvalue > 1e-4


def test_every_position_and_every_pair_of_them_is_scored_as_often() -> None:
    _, _, chosen = made(20_000, 6, share=0.34)  # 2 of 6: 15 pairs
    pairs, counts = np.unique(chosen, axis=0, return_counts=True)
    assert len(pairs) == 15
    assert chisquare(counts).pvalue > 1e-4
