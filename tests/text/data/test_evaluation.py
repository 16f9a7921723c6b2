"""Held-out text is scored on fixed windows, each target once."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from paribus.errors import RequestError
from paribus.text.data import Split, batch, check_size, heldout_window_groups, heldout_windows

from .conftest import Prepare, assert_sentence


@pytest.mark.parametrize("num_tokens", [9, 64, 65, 100, 1000, 1001])
@pytest.mark.parametrize("wanted", [8, 64, 80, 10**6])
def test_no_target_is_scored_twice_and_the_windows_span_the_split(
    split_of: Callable[..., Split], num_tokens: int, wanted: int
) -> None:
    windows = heldout_windows(split_of(np.arange(num_tokens)), seq_len=8, num_tokens=wanted)
    count = min(wanted // 8, (num_tokens - 1) // 8)
    assert windows.shape == (count, 9)
    assert windows.dtype == np.int64
    assert len(np.unique(windows[:, 1:])) == count * 8
    gaps = np.diff(windows[:, 0])
    assert gaps.size == 0 or gaps.max() - gaps.min() <= 1
    assert num_tokens - 1 - windows[-1, 0] <= (num_tokens - 1) / count + 1


def test_windows_are_the_same_every_time(split_of: Callable[..., Split]) -> None:
    tokens = np.random.default_rng(0).integers(0, 257, 5000)
    first = heldout_windows(split_of(tokens), seq_len=16, num_tokens=1024)
    second = heldout_windows(split_of(tokens, shard_tokens=100), seq_len=16, num_tokens=1024)
    assert (first == second).all()


def test_a_split_without_a_window_is_refused(split_of: Callable[..., Split]) -> None:
    with pytest.raises(RequestError) as refusal:
        heldout_windows(split_of(np.arange(8)), seq_len=8)
    assert_sentence(refusal, "8 tokens (8 bytes)", "needs 9 (about 9 bytes)")
    with pytest.raises(RequestError) as refusal:
        heldout_windows(split_of(np.arange(8)), seq_len=0)
    assert_sentence(refusal, "seq_len is 0")


@pytest.mark.parametrize("wanted", [8, 40, 400, 10**6])
def test_each_window_is_of_the_group_of_its_first_target(split_of: Callable[..., Split], wanted: int) -> None:
    lengths = np.random.default_rng(0).integers(1, 30, 60)
    groups = np.arange(60) % 25
    documents = list(zip(lengths.tolist(), groups.tolist(), strict=True))
    split = split_of(np.arange(lengths.sum()), documents=documents)
    group_of_token = np.repeat(groups, lengths)
    windows = heldout_windows(split, seq_len=8, num_tokens=wanted)
    found = heldout_window_groups(split, seq_len=8, num_tokens=wanted)
    assert found.dtype == np.int64
    assert found.tolist() == group_of_token[windows[:, 1]].tolist()  # token number i is i itself


def test_groups_of_windows_are_those_of_prepared_text(
    folder_of: Callable[..., Path], texts: list[str], prepared: Prepare
) -> None:
    heldout = prepared(folder_of(texts), held_out=0.5).heldout
    found = heldout_window_groups(heldout, seq_len=16)
    assert set(found.tolist()) <= set(range(heldout.num_groups))
    assert (np.diff(found) >= 0).all()  # no two are alike here, so groups follow each other as documents do
    assert len(set(found.tolist())) > 5


@pytest.mark.parametrize(("seq_len", "batch_size"), [(64, 500), (256, 1)])  # too little to train on, to score
def test_too_little_text_is_refused_with_a_number_of_bytes_that_is_enough(
    folder_of: Callable[..., Path],
    texts: list[str],
    prepared: Prepare,
    seq_len: int,
    batch_size: int,
) -> None:
    small = prepared(folder_of(texts))
    with pytest.raises(RequestError) as refusal:
        check_size(small, seq_len=seq_len, batch_size=batch_size)
    assert_sentence(
        refusal, "source", f"{small.bytes:,} bytes", f"seq_len={seq_len}", f"batch_size={batch_size}"
    )
    with pytest.raises(RequestError) as caught:
        check_size(small, seq_len=seq_len, batch_size=batch_size)
    wanted = int(str(caught.value).split("give about ")[1].split(" ")[0].replace(",", ""))

    more = [f"{number} {text}" for number in range(1000) for text in texts]
    enough = int(np.searchsorted(np.cumsum([len(text.encode()) for text in more]), 1.05 * wanted)) + 1
    large = prepared(folder_of(more[:enough], "large"))
    assert small.bytes < large.bytes < 1.1 * wanted
    check_size(large, seq_len=seq_len, batch_size=batch_size)


def test_what_passes_the_check_can_be_trained_and_scored(
    folder_of: Callable[..., Path], texts: list[str], prepared: Prepare
) -> None:
    dataset = prepared(folder_of(texts), held_out=0.3)
    largest = max(seq_len for seq_len in range(1, 400) if (dataset.heldout.num_tokens - 1) // seq_len >= 16)
    check_size(dataset, seq_len=largest, batch_size=4)
    assert batch(dataset.train, seed=0, step=0, batch_size=4, seq_len=largest).shape == (4, largest + 1)
    assert len(heldout_windows(dataset.heldout, seq_len=largest)) >= 16
    with pytest.raises(RequestError) as refusal:
        check_size(dataset, seq_len=largest + 1, batch_size=4)
    assert_sentence(refusal, "held-out text 15 of 16")
