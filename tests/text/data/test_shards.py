"""A split reads the same however it is cut into files."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from paribus.text.data import Split
from paribus.text.data.shards import token_dtype, write_shards

from .conftest import Refused

TOKENS = np.arange(100) * 3 + 70_000


@pytest.mark.parametrize("shard_tokens", [1, 7, 25, 99, 100, 101])
def test_reading_does_not_see_where_shards_end(split_of: Callable[..., Split], shard_tokens: int) -> None:
    split = split_of(TOKENS, shard_tokens)
    assert len(split.shards) == -(-100 // shard_tokens)
    for start, length in [(0, 100), (0, 0), (100, 0), (24, 2), (3, 60), (99, 1)]:
        assert split.read(start, length).tolist() == TOKENS[start : start + length].tolist()
    starts = np.array([0, 93, 24, 20, 50])
    assert split.windows(starts, 7).tolist() == [TOKENS[start : start + 7].tolist() for start in starts]
    assert split.windows(starts[:0], 7).shape == (0, 7)


def test_shards_are_flat_little_endian_files_filled_to_the_limit(tmp_path: Path) -> None:
    documents = [np.array([1, 2, 3]), np.array([4]), np.array([5, 256])]
    assert write_shards(tmp_path, "train", documents, dtype="<u2", shard_tokens=4) == (4, 2)
    assert (tmp_path / "train-00000.bin").read_bytes() == bytes([1, 0, 2, 0, 3, 0, 4, 0])
    assert (tmp_path / "train-00001.bin").read_bytes() == bytes([5, 0, 0, 1])


def test_full_shards_leave_no_empty_one_behind(tmp_path: Path) -> None:
    assert write_shards(tmp_path, "train", [np.arange(8)], dtype="<u2", shard_tokens=4) == (4, 4)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(("start", "length"), [(-1, 5), (96, 5), (0, 101), (0, -1)])
def test_reading_outside_is_refused(
    split_of: Callable[..., Split], refused: Refused, start: int, length: int
) -> None:
    split = split_of(TOKENS, 30)
    with refused("train split", "0 to 100"):
        split.read(start, length)
    with refused("train split", "0 to 100"):
        split.windows(np.array([10, start]), length)


def test_what_is_read_is_a_copy(split_of: Callable[..., Split]) -> None:
    split = split_of(TOKENS)
    split.read(0, 10)[:] = 0
    split.windows(np.array([0]), 10)[:] = 0
    assert split.read(0, 100).tolist() == TOKENS.tolist()


def test_tokens_take_two_bytes_while_they_fit() -> None:
    assert [token_dtype(size) for size in (257, 65_536, 65_537)] == ["<u2", "<u2", "<u4"]
