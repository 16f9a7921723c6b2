"""Counts of neighbouring symbols."""

import numpy as np
import pytest

from paribus.errors import RequestError
from paribus.text.tokenizers.reference import pairs


@pytest.mark.parametrize(("most", "fits"), [(6, True), (5, False)])
def test_more_symbols_than_their_places_count_are_refused(
    monkeypatch: pytest.MonkeyPatch, most: int, fits: bool
) -> None:
    assert pairs._MOST_PLACES == np.iinfo(np.int32).max
    monkeypatch.setattr(pairs, "_MOST_PLACES", most)
    # "ab" and "c": three symbols and an edge before, between and after the words
    words = np.array([1, 2, 3]), np.array([2, 1]), np.array([5, 1])
    if fits:
        assert pairs.Pairs(*words).counts == {pairs.pair_key(1, 2): 5}
    else:
        with pytest.raises(RequestError, match="the distinct words have 3 symbols, and fewer than 5 can be"):
            pairs.Pairs(*words)
