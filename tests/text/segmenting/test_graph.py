"""The dictionary graph against every segmentation that there is."""

from collections.abc import Iterator
from fractions import Fraction
from math import prod

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paribus.text.segmenting.dictionary import Dictionary
from paribus.text.segmenting.graph import DictionaryGraph

COUNTS = st.dictionaries(
    st.text("甲乙丙", min_size=1, max_size=4), st.integers(1, 50), min_size=1, max_size=9
)


def _all_cuts(text: str) -> Iterator[list[str]]:
    if not text:
        yield []
    for end in range(1, len(text) + 1):
        for rest in _all_cuts(text[end:]):
            yield [text[:end], *rest]


def _probability(pieces: list[str], dictionary: Dictionary) -> Fraction:
    """Exact; zero for a piece of several characters that is no word."""
    return prod(
        Fraction(dictionary.counts.get(piece, len(piece) == 1), dictionary.total) for piece in pieces
    ) * Fraction(1)


@settings(max_examples=60)
@given(counts=COUNTS, text=st.text("甲乙丙丁", max_size=8))
def test_the_path_has_the_highest_probability_of_all_segmentations(counts: dict[str, int], text: str) -> None:
    dictionary = Dictionary(counts)
    found = _probability(DictionaryGraph(dictionary).segment(text), dictionary)
    assert found == max(_probability(pieces, dictionary) for pieces in _all_cuts(text))


@pytest.mark.parametrize(
    ("counts", "text", "chosen"),
    [
        ({"甲乙": 4, "乙丙": 4, "甲": 1, "丙": 1}, "甲乙丙", "甲乙 丙"),
        ({"甲乙丙": 2, "甲": 2, "乙丙丁": 2, "丁": 2}, "甲乙丙丁", "甲乙丙 丁"),
    ],
)
def test_of_equal_paths_the_longer_word_comes_first(counts: dict[str, int], text: str, chosen: str) -> None:
    assert DictionaryGraph(Dictionary(counts)).segment(text) == chosen.split()
