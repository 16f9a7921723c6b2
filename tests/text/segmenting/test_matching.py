"""Maximum matching against its definition."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paribus.text.segmenting import Segmenter
from paribus.text.segmenting.dictionary import Dictionary
from paribus.text.segmenting.matching import BackwardMatching, BidirectionalMatching, ForwardMatching

WORDS = st.sets(st.text("甲乙丙", min_size=1, max_size=4), min_size=1, max_size=8)
TEXT = st.text("甲乙丙丁", max_size=12)


def _forward(text: str, words: set[str]) -> list[str]:
    if not text:
        return []
    longest = next((n for n in range(len(text), 0, -1) if text[:n] in words), 1)
    return [text[:longest], *_forward(text[longest:], words)]


def _backward(text: str, words: set[str]) -> list[str]:
    if not text:
        return []
    longest = next((n for n in range(len(text), 0, -1) if text[-n:] in words), 1)
    return [*_backward(text[:-longest], words), text[-longest:]]


def _dictionary(words: set[str]) -> Dictionary:
    return Dictionary(dict.fromkeys(words, 1))


@given(words=WORDS, text=TEXT)
def test_both_directions_take_the_longest_word(words: set[str], text: str) -> None:
    assert ForwardMatching(_dictionary(words)).segment(text) == _forward(text, words)
    assert BackwardMatching(_dictionary(words)).segment(text) == _backward(text, words)


@pytest.mark.parametrize(
    ("words", "text", "chosen"),
    [
        ({"甲乙", "乙丙丁"}, "甲乙丙丁", "甲 乙丙丁"),  # fewer pieces: 3 forward, 2 backward
        ({"甲乙", "丙丁", "乙丙丁"}, "甲乙丙丁", "甲乙 丙丁"),  # as many, and no single character against one
        ({"甲乙", "乙丙"}, "甲乙丙", "甲 乙丙"),  # as many of both: backward
    ],
)
def test_bidirectional_takes_fewer_pieces_then_fewer_singles_then_backward(
    words: set[str], text: str, chosen: str
) -> None:
    assert BidirectionalMatching(_dictionary(words)).segment(text) == chosen.split()


def test_bidirectional_chooses_anew_behind_punctuation() -> None:
    words = _dictionary({"甲乙", "乙丙丁", "甲乙丙", "丙丁"})
    alone = BidirectionalMatching(_dictionary({"甲乙丙", "丙丁"}))
    assert BidirectionalMatching(words).segment("甲乙丙丁，甲乙")[-2:] == ["，", "甲乙"]
    assert alone.segment("甲乙丙丁，甲丙丁") == ["甲乙丙", "丁", "，", "甲", "丙丁"]


def test_numbers_and_names_that_no_dictionary_has_stay_whole(segmenters: dict[str, Segmenter]) -> None:
    for name in ("forward", "backward", "bidirectional", "dictionary"):
        assert segmenters[name].segment("北京2024Qz很") == ["北京", "2024Qz", "很"], name
    apart = ForwardMatching(_dictionary({"北京"}), join_letters=False)
    assert apart.segment("北京ab") == ["北京", "a", "b"]
