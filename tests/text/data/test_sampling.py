"""A batch is a function of its arguments, and an epoch visits every window once."""

from collections.abc import Callable

import numpy as np
import pytest

from paribus.errors import RequestError
from paribus.text.data import Split, batch
from paribus.text.data.sampling import num_windows

from .conftest import assert_sentence

SEQ_LEN = 8
# Token number i is i itself, so the first column of a batch says where its windows start.
TOKENS = np.arange(50 * SEQ_LEN + 3)


def starts(split: Split, *, epoch: int, seed: int = 0) -> np.ndarray:
    windows = num_windows(split, seq_len=SEQ_LEN)
    return batch(split, seed=seed, step=epoch, batch_size=windows, seq_len=SEQ_LEN)[:, 0]


def test_rows_are_windows_of_the_text(split_of: Callable[..., Split]) -> None:
    ids = batch(split_of(TOKENS, 64), seed=1, step=2, batch_size=5, seq_len=SEQ_LEN)
    assert ids.shape == (5, SEQ_LEN + 1)
    assert ids.dtype == np.int64
    assert (np.diff(ids, axis=1) == 1).all()


def test_a_batch_depends_on_its_arguments_only(split_of: Callable[..., Split]) -> None:
    split = split_of(TOKENS)
    batches = [batch(split, seed=3, step=step, batch_size=7, seq_len=SEQ_LEN) for step in range(40)]
    again = split_of(TOKENS, shard_tokens=33)
    for step in reversed(range(40)):
        assert (batch(again, seed=3, step=step, batch_size=7, seq_len=SEQ_LEN) == batches[step]).all()


def test_the_order_is_the_one_that_earlier_studies_had(split_of: Callable[..., Split]) -> None:
    # Pinned: whoever changes it changes the data of every run that is resumed or repeated.
    assert starts(split_of(TOKENS), epoch=0, seed=0)[:8].tolist() == [314, 18, 234, 162, 210, 362, 346, 250]


def test_seeds_and_steps_give_different_batches(split_of: Callable[..., Split]) -> None:
    split = split_of(TOKENS)
    drawn = {
        batch(split, seed=seed, step=step, batch_size=4, seq_len=SEQ_LEN).tobytes()
        for seed in (0, 1, -1, 2**70)
        for step in range(20)
    }
    assert len(drawn) == 80


@pytest.mark.parametrize("epoch", [0, 1, 7])
@pytest.mark.parametrize("num_tokens", [2 * SEQ_LEN, 3 * SEQ_LEN, 17 * SEQ_LEN + 5, 403])
def test_an_epoch_visits_every_window_once_at_one_phase(
    split_of: Callable[..., Split], num_tokens: int, epoch: int
) -> None:
    split = split_of(np.arange(num_tokens))
    visited = np.sort(starts(split, epoch=epoch))
    phase = visited[0]
    assert 0 <= phase < SEQ_LEN
    assert visited.tolist() == list(range(phase, phase + len(visited) * SEQ_LEN, SEQ_LEN))
    assert len(visited) == (num_tokens - SEQ_LEN) // SEQ_LEN


def test_epochs_that_end_inside_a_batch_still_visit_every_window_once(split_of: Callable[..., Split]) -> None:
    split = split_of(TOKENS)
    whole = np.concatenate([starts(split, epoch=epoch) for epoch in range(7)])
    rows = [
        batch(split, seed=0, step=step, batch_size=7, seq_len=SEQ_LEN)[:, 0]
        for step in range(len(whole) // 7)
    ]
    assert np.concatenate(rows).tolist() == whole.tolist()


def test_a_batch_may_be_larger_than_an_epoch(split_of: Callable[..., Split]) -> None:
    split = split_of(np.arange(3 * SEQ_LEN))
    big = batch(split, seed=0, step=0, batch_size=10, seq_len=SEQ_LEN)[:, 0]
    assert big.tolist() == np.concatenate([starts(split, epoch=epoch) for epoch in range(5)]).tolist()


def test_two_ranks_share_the_batch_of_one(split_of: Callable[..., Split]) -> None:
    split = split_of(TOKENS)
    for step in range(20):
        alone = batch(split, seed=0, step=step, batch_size=6, seq_len=SEQ_LEN)
        ranks = [
            batch(split, seed=0, step=step, batch_size=3, seq_len=SEQ_LEN, rank=rank, world_size=2)
            for rank in range(2)
        ]
        assert (np.concatenate(ranks) == alone).all()


def test_phase_and_order_change_with_every_epoch(split_of: Callable[..., Split]) -> None:
    split = split_of(TOKENS)
    epochs = [starts(split, epoch=epoch) for epoch in range(40)]
    assert {int(epoch.min()) for epoch in epochs} == set(range(SEQ_LEN))
    assert len({(epoch // SEQ_LEN).tobytes() for epoch in epochs}) == 40


@pytest.mark.parametrize("windows", [2, 5, 50])
def test_every_window_is_equally_likely_to_come_first_and_neighbours_do_not_stay_together(
    split_of: Callable[..., Split], windows: int
) -> None:
    split = split_of(np.arange((windows + 1) * SEQ_LEN))
    epochs = 100 * windows
    orders = np.stack([starts(split, epoch=epoch) // SEQ_LEN for epoch in range(epochs)])
    expected, bound = 100, 5 * np.sqrt(100)
    assert np.abs(np.bincount(orders[:, 0], minlength=windows) - expected).max() < bound
    followed = (np.diff(orders, axis=1) == 1).sum()  # in a random order, (windows - 1) / windows of them
    assert abs(followed - epochs * (windows - 1) / windows) < 5 * np.sqrt(epochs)


def test_one_window_is_the_least(split_of: Callable[..., Split]) -> None:
    with pytest.raises(RequestError) as refusal:
        batch(split_of(np.arange(15)), seed=0, step=0, batch_size=1, seq_len=SEQ_LEN)
    assert_sentence(refusal, "15 tokens", "needs 16")
    assert batch(split_of(np.arange(16)), seed=0, step=0, batch_size=1, seq_len=SEQ_LEN).shape == (1, 9)


@pytest.mark.parametrize(
    "wrong",
    [{"batch_size": 0}, {"seq_len": 0}, {"step": -1}, {"rank": 2, "world_size": 2}, {"rank": -1}],
)
def test_impossible_arguments_are_refused(split_of: Callable[..., Split], wrong: dict[str, int]) -> None:
    with pytest.raises(RequestError) as refusal:
        batch(split_of(TOKENS), **{"seed": 0, "step": 0, "batch_size": 2, "seq_len": SEQ_LEN} | wrong)
    assert_sentence(refusal, *(f"{name}={value}" for name, value in wrong.items()))


# Fewer unique tokens


def starts_within(split: Split, unique_tokens: int, *, seed: int, rows: int) -> np.ndarray:
    ids = batch(split, seed=seed, step=0, batch_size=rows, seq_len=SEQ_LEN, unique_tokens=unique_tokens)
    return ids[:, 0]


@pytest.mark.parametrize("unique_tokens", [SEQ_LEN, 5 * SEQ_LEN, 5 * SEQ_LEN + 7, 20 * SEQ_LEN, 49 * SEQ_LEN])
@pytest.mark.parametrize("seed", [0, 1])
def test_an_epoch_of_unique_tokens_is_the_same_windows_whatever_the_seed(
    split_of: Callable[..., Split], unique_tokens: int, seed: int
) -> None:
    """Evenly over the text, which has 49 windows."""
    windows = unique_tokens // SEQ_LEN
    visited = starts_within(split_of(TOKENS), unique_tokens, seed=seed, rows=3 * windows)
    for epoch in range(3):
        places = np.sort(visited[epoch * windows : (epoch + 1) * windows])
        assert places.tolist() == [SEQ_LEN * (49 * number // windows) for number in range(windows)]


def test_half_the_unique_tokens_are_among_the_whole(split_of: Callable[..., Split]) -> None:
    split = split_of(TOKENS)
    half, whole = (
        set(starts_within(split, count * SEQ_LEN, seed=0, rows=count).tolist()) for count in (9, 18)
    )
    assert len(half) == 9 and half < whole


@pytest.mark.parametrize("unique_tokens", [-1, 0, SEQ_LEN - 1, 50 * SEQ_LEN, 10**9])
def test_less_than_a_window_and_more_than_there_is_are_refused(
    split_of: Callable[..., Split], unique_tokens: int
) -> None:
    with pytest.raises(RequestError) as refusal:
        starts_within(split_of(TOKENS), unique_tokens, seed=0, rows=1)
    assert_sentence(refusal, f"unique_tokens is {unique_tokens:,}", "8 tokens at least", "392 at most")
