"""What one layer keeps: all, the last few, or the first few and the last, always in the order of the text."""

import pytest
import torch
from torch import Tensor

from paribus.parts.attention.cache import KeyValueCache


def keys(length: int, *, first: int = 0) -> Tensor:
    """[1, 1, length, 1]: each key is its own place in the text."""
    return torch.arange(first, first + length, dtype=torch.float64)[None, None, :, None]


def places(tensor: Tensor) -> list[int]:
    return tensor.flatten().int().tolist()


PIECES = [[1] * 40, [7, 1, 1, 1, 1, 1, 1, 1, 1, 1], [2, 9, 1, 3, 1, 1, 12, 1], [30, 1, 1], [1, 30, 1]]


@pytest.mark.parametrize("sizes", PIECES, ids=str)
@pytest.mark.parametrize("window", [None, 1, 2, 5, 8, 100])
def test_new_queries_have_every_key_in_their_window(window: int | None, sizes: list[int]) -> None:
    cache, seen = KeyValueCache(window=window), 0
    for size in sizes:
        visible = cache.visible(size)
        k, v = cache.extend(keys(size, first=seen), -keys(size, first=seen))
        start = 0 if window is None else max(0, seen - window + 1)
        seen += size
        assert places(k) == list(range(start, seen)) == [-place for place in places(v)]
        assert k.shape[2] == visible and cache.length == seen
        kept = list(range(0 if window is None else max(0, seen - window), seen))
        assert places(cache.all()[0]) == kept


@pytest.mark.parametrize("window", [4, 64])
def test_room_for_a_window_does_not_grow_with_the_text(window: int) -> None:
    cache = KeyValueCache(window=window)
    for at in range(5 * window):
        k, _ = cache.extend(keys(1, first=at), keys(1, first=at))
        assert k.untyped_storage().nbytes() <= (window + window // 4 + 1) * 8


def test_room_for_a_whole_text_doubles() -> None:
    """So that a token is moved a few times at most, however long the text becomes."""
    cache, storages = KeyValueCache(), set()
    for at in range(1000):
        cache.extend(keys(1, first=at), keys(1, first=at))
        storages.add(cache.all()[0].untyped_storage().data_ptr())
    assert len(storages) <= 11


@pytest.mark.parametrize("prompt", [1, 3, 6, 8])
def test_sinks_keep_the_first_and_the_last(prompt: int) -> None:
    cache = KeyValueCache(window=8, sinks=3)
    assert cache.late and not KeyValueCache(window=8).late
    cache.extend(keys(prompt), keys(prompt))
    assert places(cache.all()[0]) == list(range(prompt))
    for at in range(prompt, 30):
        k, v = cache.extend(keys(1, first=at), keys(1, first=at))
        expected = list(range(at + 1)) if at < 8 else [0, 1, 2, *range(at - 4, at + 1)]
        assert places(k) == places(v) == places(cache.all()[0]) == expected


def test_what_was_given_is_not_written_to() -> None:
    cache, first = KeyValueCache(window=2), keys(5)
    kept = first.clone()
    cache.extend(first, first)
    cache.extend(keys(1, first=9), keys(1, first=9))
    assert torch.equal(first, kept)
