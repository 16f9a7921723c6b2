"""Our WordPiece against hand-worked cases, fresh counts at every step, and HF tokenizers up to its ties."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paribus.errors import RequestError
from paribus.text.tokenizers.reference import WordPiece, train_wordpiece, train_wordpiece_likelihood
from tests.text.tokenizers.reference.replay import join_continuing, replay, split_continuing

small_words = st.dictionaries(
    st.text("abc", min_size=1, max_size=9), st.integers(1, 5), min_size=1, max_size=8
)


@pytest.fixture(scope="module")
def letters(text: str) -> dict[str, int]:
    """Words of letters only, as BERT's split leaves them."""
    return dict(Counter(re.findall(r"[A-Za-z]+", text)))


def made(model: WordPiece) -> list[str]:
    return [model.tokens[step.made] for step in model.merges]


def test_ids_are_special_tokens_then_characters_then_continuing_ones_then_merges() -> None:
    model = train_wordpiece({"ba": 2, "bc": 1}, vocab_size=7)
    assert model.tokens == ("[UNK]", "a", "b", "c", "##a", "##c", "ba")
    assert model.pieces == (b"", b"a", b"b", b"c", b"a", b"c", b"ba")
    assert model.unknown == 0


@given(words=small_words)
def test_the_frequency_form_merges_an_argmax_of_a_fresh_count(words: dict[str, int]) -> None:
    model = train_wordpiece(words, vocab_size=40)
    assert replay(words, made(model), split=split_continuing, join=join_continuing)[0] is None


def test_merges_of_hf_tokenizers_are_argmaxes_too_and_ours_differ_by_ties_only(
    letters: dict[str, int],
) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    theirs = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    theirs.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    corpus = [" ".join([word] * count) for word, count in letters.items()]
    theirs.train_from_iterator(
        corpus, trainers.WordPieceTrainer(vocab_size=320, special_tokens=["[UNK]"], show_progress=False)
    )
    names = sorted(theirs.get_vocab(), key=theirs.get_vocab().__getitem__)
    ours = train_wordpiece(letters, vocab_size=320)
    alphabet = len(ours.tokens) - len(ours.merges)
    assert set(names[:alphabet]) == set(ours.tokens[:alphabet])
    fault, tied = replay(letters, names[alphabet:], split=split_continuing, join=join_continuing)
    assert fault is None
    assert tied > 50


def test_longest_match_equals_hf_tokenizers(letters: dict[str, int]) -> None:
    from tokenizers import Tokenizer, models

    ours = train_wordpiece_likelihood(letters, vocab_size=500)
    vocabulary = {token: number for number, token in enumerate(ours.tokens)}
    theirs = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    for word in [*letters, "formatter", "x" * 100, "x" * 101, "naïve", "default☃"]:
        assert ours.encode_word(word) == theirs.encode(word).ids


@given(words=small_words, least=st.integers(1, 3))
def test_the_likelihood_form_merges_the_argmax_of_its_score_by_fresh_counts(
    words: dict[str, int], least: int
) -> None:
    model = train_wordpiece_likelihood(words, vocab_size=40, min_count=least)
    rows = {word: split_continuing(word) for word in words}
    for step in model.merges:
        symbols: Counter[str] = Counter()
        pairs: Counter[tuple[str, str]] = Counter()
        for word, row in rows.items():
            for symbol in row:
                symbols[symbol] += words[word]
            for pair in pairwise(row):
                pairs[pair] += words[word]
        best = min(
            (-Fraction(count, symbols[pair[0]] * symbols[pair[1]]), -count, join_continuing(pair), pair[0])
            for pair, count in pairs.items()
            if count >= least
        )
        token = model.tokens[step.made]
        assert (-step.count, token, model.tokens[step.left]) == best[1:]
        assert step.score == float(-best[0])
        rows = {
            word: merged(row, model.tokens[step.left], model.tokens[step.right]) for word, row in rows.items()
        }


def merged(row: list[str], left: str, right: str) -> list[str]:
    out: list[str] = []
    for symbol in row:
        if out and (out[-1], symbol) == (left, right):
            out[-1] = join_continuing((left, right))
        else:
            out.append(symbol)
    return out


def test_likelihood_prefers_symbols_that_occur_together_to_those_that_are_frequent() -> None:
    words = {"ab": 10, "ac": 10, "bb": 30, "qu": 4}
    assert made(train_wordpiece(words, vocab_size=100))[0] == "bb"
    assert made(train_wordpiece_likelihood(words, vocab_size=100))[0] == "qu"


def test_likelihood_leaves_pairs_below_the_least_count() -> None:
    words = {"xy": 1, "ab": 3, "ac": 3}
    assert made(train_wordpiece_likelihood(words, vocab_size=100, min_count=1))[0] == "xy"
    assert "xy" not in train_wordpiece_likelihood(words, vocab_size=100, min_count=2).tokens


@pytest.mark.parametrize("train", [train_wordpiece, train_wordpiece_likelihood])
def test_runners_up_come_in_order_and_change_nothing(
    train: Callable[..., WordPiece], letters: dict[str, int]
) -> None:
    plain, told = train(letters, vocab_size=300), train(letters, vocab_size=300, runners_up=3)
    assert plain.tokens == told.tokens
    for step in told.merges:
        scores = [step.score, *(pair.score for pair in step.runners_up)]
        assert scores == sorted(scores, reverse=True)


def test_a_merge_that_would_be_written_like_a_token_is_not_made() -> None:
    """At the start of a word "#", "##", "a" merges to "##a", which is also how an "a" that goes on is written."""
    model = train_wordpiece({"##a": 5, "xa": 1}, vocab_size=50)
    assert len(set(model.tokens)) == len(model.tokens)
    assert [model.pieces[number] for number in model.encode_word("##a")] == [b"##", b"a"]


@pytest.mark.parametrize("train", [train_wordpiece, train_wordpiece_likelihood])
def test_what_cannot_be_trained_is_refused_in_a_sentence(train: Callable[..., WordPiece]) -> None:
    with pytest.raises(RequestError, match="vocabulary of 3 is too small: .* make 4"):
        train({"ab": 1}, vocab_size=3)
    with pytest.raises(RequestError, match=r"needs \[UNK\]"):
        train({"ab": 1}, vocab_size=30, specials=["<unk>"])
    with pytest.raises(RequestError, match="no words"):
        train({}, vocab_size=30)


@given(
    pieces=st.lists(
        st.text("ab#", min_size=1, max_size=20) | st.integers(15, 30).map("a".__mul__), max_size=8
    ),
    prefix=st.sampled_from(["##", ""]),
    order=st.lists(st.integers(0, 9), max_size=6),
)
def test_encoding_takes_the_longest_piece_however_long(
    pieces: list[str], prefix: str, order: list[int]
) -> None:
    tokens = ["[UNK]", *dict.fromkeys([*"ab#", *(prefix + letter for letter in "ab#"), *pieces])]
    word = "".join(tokens[1:][number % (len(tokens) - 1)] for number in order) + "a" * 25
    model = WordPiece(tokens=tuple(tokens), unknown=0, specials=("[UNK]",), prefix=prefix, longest_word=999)
    known, expected, start = set(tokens[1:]), [], 0
    while start < len(word):
        found = (
            token
            for end in range(len(word), start, -1)
            for token in [(prefix if start else "") + word[start:end]]
            if token in known and (start or not prefix or not re.match(r"##.", token))
        )
        expected.append(next(found))
        start += len(expected[-1]) - (len(prefix) if start else 0)
    assert [model.tokens[number] for number in model.encode_word(word)] == expected
