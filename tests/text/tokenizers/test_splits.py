"""Cutting text into words: nothing is lost unless it is said, and borders are where they should be."""

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from paribus.text.tokenizers.normalisers import NORMALISERS
from paribus.text.tokenizers.splits import SPLITS
from paribus.text.tokenizers.words import count_words, parts

TILING = [split for split in SPLITS.values() if not split.loses]


@pytest.mark.parametrize("split", TILING, ids=lambda split: split.name)
@settings(max_examples=80, deadline=None)
@given(text=st.text(max_size=50))
def test_the_words_of_a_text_join_to_it(split, text: str) -> None:  # type: ignore[no-untyped-def]
    assert "".join(split.words(text)) == text
    assert [text[start:end] for start, end in split.pieces(text)] == split.words(text)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gpt2", ["It", "'s", " 12345", " cats", "  \n\n", " \u732b", "!?"]),
        ("gpt4", ["It", "'s", " ", "123", "45", " cats", "  \n\n", " \u732b", "!?"]),
        ("words", ["It's", " 12345", " cats", "  \n\n", " \u732b!?"]),
        ("lines", ["It's 12345 cats  \n", "\n", " \u732b!?"]),
        ("none", ["It's 12345 cats  \n\n \u732b!?"]),
        ("bert", ["It", "'", "s", "12345", "cats", "\u732b", "!", "?"]),
    ],
)
def test_borders(name: str, words: list[str]) -> None:
    assert SPLITS[name].words("It's 12345 cats  \n\n \u732b!?") == words


def test_a_lossy_split_says_so() -> None:
    assert SPLITS["bert"].loses == ("blanks",)


def test_counts_are_those_of_the_words_of_all_texts() -> None:
    counts = count_words(["A cat, a", " cat"], normaliser=NORMALISERS["lowercase"], split=SPLITS["gpt2"])
    assert counts == {"a": 1, " cat": 2, ",": 1, " a": 1}


def test_a_long_text_is_cut_at_line_ends() -> None:
    text = ("x" * 999 + "\n") * 3000
    assert "".join(parts(text)) == text
    assert all(regex.search(r"\n\Z", part) for part in parts(text)) and len(list(parts(text))) == 3


@pytest.mark.parametrize("normaliser", NORMALISERS.values(), ids=lambda row: row.name)
def test_a_normaliser_that_changes_text_says_so(normaliser) -> None:  # type: ignore[no-untyped-def]
    text = "A e\u0301 \uff21 \ufb01 \u212b \u039f\u03a3"
    assert (normaliser.apply(text) != text) == bool(normaliser.loses)
    assert normaliser.apply(normaliser.apply(text)) == normaliser.apply(text)
