"""Packing loses and doubles nothing, and wastes what it should."""

from bisect import bisect_left, insort

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paribus.errors import RequestError
from paribus.text.data.sft import Packing, best_fit_decreasing

LENGTHS = st.lists(st.integers(1, 40), max_size=60)


def _spaces(lengths: list[int], capacity: int) -> list[int]:
    """Free space of every row by the definition, one document at a time."""
    spaces: list[int] = []
    for length in sorted(lengths, reverse=True):
        at = bisect_left(spaces, length)
        space = capacity if at == len(spaces) else spaces.pop(at)
        insort(spaces, space - length)
    return spaces


def _free(packing: Packing, lengths: np.ndarray, capacity: int) -> list[int]:
    edges = zip(packing.starts[:-1], packing.starts[1:], strict=True)
    return sorted(capacity - int(lengths[packing.order[first:end]].sum()) for first, end in edges)


@given(lengths=LENGTHS, capacity=st.integers(40, 90))
def test_every_document_is_in_one_row_and_goes_where_it_leaves_the_least_room(
    lengths: list[int], capacity: int
) -> None:
    given_lengths = np.array(lengths, dtype=np.int64)
    packing = best_fit_decreasing(given_lengths, capacity=capacity)
    assert sorted(packing.order.tolist()) == list(range(len(lengths)))
    assert (np.diff(packing.starts) > 0).all()
    assert _free(packing, given_lengths, capacity) == _spaces(lengths, capacity)


@pytest.mark.parametrize(
    ("median", "sigma", "packed", "alone"), [(500, 0.9, 0.02, 82), (1800, 0.7, 0.29, 50)]
)
def test_the_waste_is_that_of_global_best_fit(median: int, sigma: float, packed: float, alone: float) -> None:
    # Padding in percent at 4,096 tokens for lengths of chats and of long documents, log-normal.
    drawn = np.random.default_rng(0).lognormal(np.log(median), sigma, 20_000)
    lengths = np.clip(drawn.astype(np.int64), 1, 4096)
    rows = best_fit_decreasing(lengths, capacity=4096).num_rows
    assert 100 * (1 - lengths.sum() / (4096 * rows)) == pytest.approx(packed, abs=0.1)
    assert 100 * (1 - lengths.mean() / 4096) == pytest.approx(alone, abs=1)


@pytest.mark.parametrize("lengths", [[3, 9], [0, 3]])
def test_a_document_that_fits_no_row_is_refused(lengths: list[int]) -> None:
    with pytest.raises(RequestError, match="cannot be packed into rows of 8"):
        best_fit_decreasing(np.array(lengths), capacity=8)
