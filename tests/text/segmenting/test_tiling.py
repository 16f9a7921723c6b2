"""Whatever the text, the pieces of every segmenter join to it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paribus.text.segmenting import Segmenter

TEXTS = st.text(
    st.characters() | st.sampled_from("北京大学生喜欢abyi3.5 \n，ーヶé\u0301\u200d\u200f\ud800한ᄀ")
) | st.lists(
    st.sampled_from(
        ["北京", "大学生", "喜欢", "3.5", "queue", "iuai", "\r\n", "👩\u200d👩\u200d👧", "🇩🇪", "\u202e", "\0"]
    )
).map("".join)


@settings(max_examples=150, deadline=None)
@given(text=TEXTS)
def test_pieces_of_any_text_tile_it(segmenters: dict[str, Segmenter], text: str) -> None:
    for name, segmenter in segmenters.items():
        pieces = segmenter.segment(text)
        assert "".join(pieces) == text, name
        assert all(pieces), name


@pytest.mark.parametrize("text", ["a" * 60_000, "龘" * 60_000, "i" * 60_000], ids=lambda text: ascii(text[0]))
def test_a_long_word_is_cut(segmenters: dict[str, Segmenter], text: str) -> None:
    for name, segmenter in segmenters.items():
        assert sum(map(len, segmenter.segment(text))) == len(text), name


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    # At this size whatever is quadratic does not end.
    [
        "大学生" * 100_000,
        "Queue" * 60_000,
        "bq" * 150_000,
        "\u0301" * 300_000,
        " " * 2 * 10**6,
        "iu\u0301" * 100_000,
    ],
    ids=lambda text: ascii(text[:3]),
)
def test_long_repetitions_are_cut(segmenters: dict[str, Segmenter], text: str) -> None:
    for name, segmenter in segmenters.items():
        assert "".join(segmenter.segment(text)) == text, name
