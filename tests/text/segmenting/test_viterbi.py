"""The best tags against every sequence of tags that spells words."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paribus.text.segmenting.viterbi import BEFORE, TAGS, best_tags, spelled, tags_of

# Whole numbers have exact sums, so that ties are ties.
SCORE = st.integers(-3, 0).map(float)
ROWS = st.lists(st.lists(SCORE, min_size=4, max_size=4), min_size=1, max_size=6)
MOVES = st.fixed_dictionaries(
    {tag: st.fixed_dictionaries({to: SCORE for to in TAGS if tag in BEFORE[to]}) for tag in TAGS}
)


@given(rows=ROWS, move=MOVES, start=st.fixed_dictionaries({tag: SCORE for tag in TAGS}))
def test_tags_are_the_best_of_all_and_of_equals_the_larger_letters_from_the_end(
    rows: list[list[float]], move: dict[str, dict[str, float]], start: dict[str, float]
) -> None:
    def total(tags: str) -> float:
        steps = sum(move[a][b] for a, b in itertools.pairwise(tags))
        return start[tags[0]] + steps + sum(row[TAGS.index(tag)] for row, tag in zip(rows, tags, strict=True))

    allowed = [
        tags
        for tags in map("".join, itertools.product(TAGS, repeat=len(rows)))
        if all(a in BEFORE[b] for a, b in itertools.pairwise(tags)) and tags[-1] in "ES"
    ]
    assert best_tags(rows, start=start, move=move) == max(allowed, key=lambda tags: (total(tags), tags[::-1]))


@given(words=st.lists(st.text("甲乙", min_size=1, max_size=5), max_size=6))
def test_tags_spell_the_words_they_came_from(words: list[str]) -> None:
    assert spelled("".join(words), tags_of(words)) == words


def test_nothing_has_no_tags() -> None:
    assert best_tags([], start={}, move={}) == ""


@pytest.mark.parametrize(("words", "tags"), [(["我", "喜欢", "大学生"], "SBEBME"), (["研究生院"], "BMME")])
def test_words_have_the_tags_of_the_field(words: list[str], tags: str) -> None:
    assert tags_of(words) == tags
