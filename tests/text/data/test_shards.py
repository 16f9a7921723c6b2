"""A split reads the same however it is cut into files."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from paribus.errors import RequestError
from paribus.text.data import Split
from paribus.text.data.shards import token_dtype, write_documents, write_shards

from .conftest import NOBODY, assert_sentence

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


def test_shards_are_little_endian_files_filled_to_the_limit(tmp_path: Path) -> None:
    documents = [np.array([1, 2, 3]), np.array([4]), np.array([5, 256])]
    assert write_shards(tmp_path, "train", documents, dtype="<u2", shard_tokens=4, identity=NOBODY) == (4, 2)
    assert (tmp_path / "train-00000.bin").read_bytes()[128:] == bytes([1, 0, 2, 0, 3, 0, 4, 0])
    assert (tmp_path / "train-00001.bin").read_bytes()[128:] == bytes([5, 0, 0, 1])


def test_full_shards_leave_no_empty_one_behind(tmp_path: Path) -> None:
    shards = write_shards(tmp_path, "train", [np.arange(8)], dtype="<u2", shard_tokens=4, identity=NOBODY)
    assert shards == (4, 4)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(("start", "length"), [(-1, 5), (96, 5), (0, 101), (0, -1)])
def test_reading_outside_is_refused(split_of: Callable[..., Split], start: int, length: int) -> None:
    split = split_of(TOKENS, 30)
    with pytest.raises(RequestError) as refusal:
        split.read(start, length)
    assert_sentence(refusal, "train split", "0 to 100")
    with pytest.raises(RequestError) as refusal:
        split.windows(np.array([10, start]), length)
    assert_sentence(refusal, "train split", "0 to 100")


def test_what_is_read_is_a_copy(split_of: Callable[..., Split]) -> None:
    split = split_of(TOKENS)
    split.read(0, 10)[:] = 0
    split.windows(np.array([0]), 10)[:] = 0
    assert split.read(0, 100).tolist() == TOKENS.tolist()


def test_tokens_take_two_bytes_while_they_fit() -> None:
    assert [token_dtype(size) for size in (257, 65_536, 65_537)] == ["<u2", "<u2", "<u4"]


def test_documents_and_groups_are_little_endian_files(tmp_path: Path) -> None:
    lengths, groups = np.array([300, 1, 5]), np.array([0, 1, 0])
    write_documents(tmp_path, "train", lengths=lengths, groups=groups, identity=NOBODY)
    starts = (tmp_path / "train-documents.bin").read_bytes()[128:]
    assert starts == b"".join(start.to_bytes(8, "little") for start in (0, 300, 301))
    groups = (tmp_path / "train-groups.bin").read_bytes()[128:]
    assert groups == b"".join(group.to_bytes(8, "little") for group in (0, 1, 0))


def test_a_split_knows_where_its_documents_start_and_which_group_each_token_is_of(
    split_of: Callable[..., Split],
) -> None:
    split = split_of(np.arange(10), documents=[(3, 0), (1, 1), (4, 0), (2, 2)])
    assert split.documents.dtype == split.groups.dtype == np.int64
    assert split.documents.tolist() == [0, 3, 4, 8]
    assert split.groups.tolist() == [0, 1, 0, 2]
    assert split.groups_at(np.arange(10)).tolist() == [0, 0, 0, 1, 0, 0, 0, 0, 2, 2]
    assert split.groups_at(np.arange(0)).tolist() == []


@pytest.mark.parametrize("outside", [-1, 10])
def test_a_token_outside_is_of_no_group(split_of: Callable[..., Split], outside: int) -> None:
    with pytest.raises(RequestError) as refusal:
        split_of(np.arange(10)).groups_at(np.array([3, outside]))
    assert_sentence(refusal, "train split", "0 to 10")
