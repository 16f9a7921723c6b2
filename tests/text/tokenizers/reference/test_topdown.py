"""Top-down WordPiece against vectors worked by its rule and a slow form of the rule itself."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paribus.errors import RequestError
from paribus.text.tokenizers.reference import topdown, train_wordpiece_topdown

small_words = st.dictionaries(
    st.text("abc", min_size=1, max_size=7), st.integers(1, 6), min_size=1, max_size=8
)


def by_rule(words: dict[str, int], threshold: int, *, rounds: int, lowered_by: str) -> dict[str, int]:
    """The kept substrings by the words of the rule: count, then from the longest on keep and lower the prefixes."""
    letters = set("".join(words))
    kept: dict[tuple[bool, str], int] = {}
    for number in range(rounds):
        counts: Counter[tuple[bool, str]] = Counter()  # (starts a word, substring)
        for word, count in words.items():
            start = 0
            while start < len(word):
                for end in range(start + 1, len(word) + 1):
                    counts[start == 0, word[start:end]] += count
                if number == 0:
                    start += 1
                else:
                    start = next(
                        end
                        for end in range(len(word), start, -1)
                        if (start == 0, word[start:end]) in kept or end == start + 1
                    )
        kept = {}
        for starts, string in sorted(counts, key=lambda key: -len(key[1])):
            count = counts[starts, string]
            if count >= threshold:
                kept[starts, string] = count
            if lowered_by == "all" or count >= threshold:
                for end in range(1, len(string)):
                    counts[starts, string[:end]] -= count
    named = {("" if starts else "##") + string: count for (starts, string), count in kept.items()}
    return {**{each: 1 for letter in letters for each in (letter, "##" + letter)}, **named}


@given(
    words=small_words,
    threshold=st.integers(1, 5),
    rounds=st.integers(1, 4),
    lowered_by=st.sampled_from(["all", "kept"]),
)
def test_what_is_kept_is_what_the_rule_keeps(
    words: dict[str, int], threshold: int, rounds: int, lowered_by: str
) -> None:
    model = train_wordpiece_topdown(
        words,
        vocab_size=10_000,
        rounds=rounds,
        lowered_by=lowered_by,
        lowest=threshold,
        highest=threshold,
        slack=1.0,
    )
    assert model.counts == by_rule(words, model.threshold, rounds=rounds, lowered_by=lowered_by)


def test_lowering_by_all_leaves_the_ends_of_words_and_by_kept_also_what_starts_them() -> None:
    words = {"humans": 3, "humane": 3, "humanity": 3, "x": 9}
    given = {"vocab_size": 1000, "lowest": 4, "highest": 4, "slack": 1.0, "rounds": 1}
    assert "human" in train_wordpiece_topdown(words, lowered_by="kept", **given).tokens
    assert "human" not in train_wordpiece_topdown(words, lowered_by="all", **given).tokens


@pytest.mark.parametrize(
    ("words", "rounds", "threshold", "tokens"),
    [
        ({"apple": 1, "app": 1}, 1, 1, ["app", "apple", "le", "ple", "pp", "pple"]),
        ({"apple": 1, "app": 1}, 2, 1, ["app", "apple"]),
        ({"apple": 1, "app": 2}, 1, 2, ["app", "pp"]),
    ],
)
def test_vectors_of_the_learner_without_a_prefix(
    words: dict[str, int], rounds: int, threshold: int, tokens: list[str]
) -> None:
    model = train_wordpiece_topdown(
        words, vocab_size=99, rounds=rounds, lowest=threshold, highest=threshold, slack=1.0, prefix=""
    )
    assert model.threshold == threshold
    assert model.tokens == ("[UNK]", "a", "e", "l", "p", *tokens)


def test_the_search_ends_within_the_slack_or_takes_the_largest_that_fits(words: dict[str, int]) -> None:
    letters = dict(Counter(re.findall("[A-Za-z]+", " ".join(f"{word} " * n for word, n in words.items()))))
    for size in (200, 400, 800):
        model = train_wordpiece_topdown(letters, vocab_size=size)
        fitting = [step.size for step in model.tried if step.size <= size]
        assert model.vocab_size == max(fitting) >= 0.95 * size
        assert min(model.counts.values()) >= 1
        assert all(
            count >= model.threshold
            for token, count in model.counts.items()
            if len(token.removeprefix("##")) > 1
        )


def test_words_that_are_long_special_or_of_rare_characters_are_left_out() -> None:
    words = {"ab": 9, "[UNK]": 50, "c" * 51: 50, "é": 1}
    model = train_wordpiece_topdown(words, vocab_size=50, most_characters=2)
    assert set("".join(model.tokens[1:])) == {"a", "b", "#"}


def test_what_cannot_be_trained_is_refused_in_a_sentence() -> None:
    with pytest.raises(RequestError, match="vocabulary of 4 is too small: .* is 6"):
        train_wordpiece_topdown({"ab": 3}, vocab_size=4)
    with pytest.raises(RequestError, match="did you mean kept"):
        train_wordpiece_topdown({"ab": 3}, vocab_size=40, lowered_by="keep")
    with pytest.raises(RequestError, match="no word is left"):
        train_wordpiece_topdown({"a" * 60: 3}, vocab_size=40)


def test_a_bound_on_pieces_leaves_shorter_ones_as_they_were() -> None:
    words = {"abcde" * 9: 3, "abc": 5, "bcd": 2}
    whole = train_wordpiece_topdown(words, vocab_size=2000, lowered_by="all", rounds=1)
    bound = train_wordpiece_topdown(words, vocab_size=2000, lowered_by="all", rounds=1, longest_piece=4)
    short = {token for token in whole.tokens if len(token.removeprefix("##")) < 4}
    assert short == {token for token in bound.tokens if len(token.removeprefix("##")) < 4}
    assert max(len(token.removeprefix("##")) for token in bound.tokens[1:]) == 4 < len("abcde")


def test_more_substrings_than_there_is_memory_for_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topdown, "MOST_SUBSTRINGS", 10)
    words = {"abcd": 2}  # 4 + 3 + 2 + 1
    assert train_wordpiece_topdown(words, vocab_size=30)
    with pytest.raises(RequestError, match="these words have 11, more than 10: take less text"):
        train_wordpiece_topdown({**words, "e": 1}, vocab_size=30)
    assert train_wordpiece_topdown({**words, "e": 1}, vocab_size=30, longest_piece=2)  # 4 + 3 + 1
