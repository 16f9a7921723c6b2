"""Our form of SentencePiece's BPE against its own test vectors and the library, piece by piece."""

from __future__ import annotations

import io
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paribus.errors import RequestError
from paribus.text.tokenizers.reference import (
    PieceRules,
    SentencePieceBPE,
    sentencepiece_words,
    sentences,
    train_sentencepiece_bpe,
)
from paribus.text.tokenizers.reference.sentencepiece_text import SPECIALS

LINES = [
    "  two  spaces and <s>a name</s> of a token ",
    "under\u2581score and tab\tand \u001f",
    "skipped \u2585",
    "\u00e9t\u00e9 2024" + " x86_64 py311" * 9,
]


def script(character: str) -> str:
    """Near enough to Unicode's table for the text of these tests."""
    name = unicodedata.name(character, "")
    return next(
        (each for each in ("Latin", "Greek") if name.startswith(each.upper())),
        "Han" if "CJK UNIFIED" in name else "Common",
    )


@pytest.fixture(scope="module")
def lines(text: str) -> list[str]:
    return [*LINES, *text.split("\n")]


def library(lines: list[str], **options: object) -> object:
    sentencepiece = pytest.importorskip("sentencepiece")
    if not sentencepiece.__version__.startswith("0.2.3"):
        pytest.skip("the rules are those of sentencepiece 0.2.3")
    file = io.BytesIO()
    given = {"model_type": "bpe", "character_coverage": 1.0, "normalization_rule_name": "identity"} | options
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=file, minloglevel=2, num_threads=1, **given
    )
    return sentencepiece.SentencePieceProcessor(model_proto=file.getvalue())


def trained(lines: list[str], size: int, *, dummy_prefix: bool = True, **options: object) -> SentencePieceBPE:
    words = sentencepiece_words(sentences(lines, dummy_prefix=dummy_prefix))
    return train_sentencepiece_bpe(words, vocab_size=size, **options)


@pytest.mark.parametrize(
    ("lines", "pieces"),
    [
        (["abracadabra"], "ab ra abra ad cad abracad abracadabra ac br a b r c d"),
        (["pen", "pineapple", "apple"], "ap le app apple en in ine pen p e a l n i"),
        (["hellohe"], "he ll llo hello hellohe el lo oh hel ohe e h l o"),
    ],
)
def test_vectors_of_the_library(lines: list[str], pieces: str) -> None:
    model = trained(lines, 20 - 3, dummy_prefix=False)
    assert " ".join(model.tokens[3:]) == pieces


def test_a_symbol_of_the_user_is_one_piece_and_merges_stop_at_it() -> None:
    """The library's vector of user-defined symbols."""
    specials = (*SPECIALS, "app")
    words = sentencepiece_words(
        sentences(["pen", "pineapple", "apple"], dummy_prefix=False, specials=specials)
    )
    model = train_sentencepiece_bpe(words, vocab_size=20 - 3, specials=specials)
    assert " ".join(model.tokens[3:]) == "app le en in ine pen pine ne pe e l n p i"


def test_pieces_and_scores_equal_the_library_in_order(lines: list[str]) -> None:
    theirs = library(lines, vocab_size=1200, split_by_unicode_script=False, split_by_number=False)
    ours = trained(lines, 1200)
    assert list(ours.tokens) == [theirs.id_to_piece(number) for number in range(1200)]
    assert list(ours.scores) == [theirs.get_score(number) for number in range(1200)]


def test_pieces_of_one_script_equal_the_library_in_order(lines: list[str]) -> None:
    theirs = library(lines, vocab_size=1200)
    ours = trained(lines, 1200, rules=PieceRules(script=script))
    assert list(ours.tokens) == [theirs.id_to_piece(number) for number in range(1200)]
    theirs = library(lines, vocab_size=1200, split_by_number=False)
    ours = trained(lines, 1200, rules=PieceRules(script=script, split_by_number=False))
    assert list(ours.tokens) == [theirs.id_to_piece(number) for number in range(1200)]


@given(
    words=st.dictionaries(st.text("abc", min_size=1, max_size=12), st.integers(1, 3), min_size=1, max_size=5)
)
def test_no_piece_is_made_twice(words: dict[str, int]) -> None:
    """The library guards against it, by a set of what was made; our trainer relies on it."""
    model = train_sentencepiece_bpe(words, vocab_size=400)
    assert len(set(model.tokens)) == model.vocab_size


def test_rare_characters_are_left_out_as_the_library_leaves_them_out(lines: list[str]) -> None:
    options = {"vocab_size": 600, "split_by_unicode_script": False, "split_by_number": False}
    theirs = library(lines, character_coverage=0.99, **options)
    ours = trained(lines, 600, coverage=0.99)
    assert list(ours.tokens) == [theirs.id_to_piece(number) for number in range(600)]
    assert "世" not in ours.tokens


def test_encoding_equals_the_library(lines: list[str]) -> None:
    theirs = library(lines, vocab_size=1200, split_by_unicode_script=False, split_by_number=False)
    ours = SentencePieceBPE(
        tokens=tuple(theirs.id_to_piece(number) for number in range(1200)),
        scores=tuple(theirs.get_score(number) for number in range(1200)),
    )
    for line in [*lines[4:], "unseen: ☃☃ Ωx☃", "hellohello aaaaaaa"]:
        words = [word for sentence in sentences([line]) for word in sentencepiece_words([sentence])]
        for word in words:
            assert ours.encode_word(word) == theirs.encode(word.removeprefix("\u2581")), word


def test_the_trace_leads_from_characters_to_each_piece(lines: list[str]) -> None:
    model = trained(lines, 300, runners_up=2)
    assert len(model.merges) > 100
    for step in model.merges:
        assert model.tokens[step.left] + model.tokens[step.right] == model.tokens[step.made]
        assert step.score == step.count >= max(pair.count for pair in step.runners_up)


def test_pieces_stand_for_text_with_spaces() -> None:
    model = trained(["ab ab"], 8)
    assert dict(zip(model.tokens, model.pieces, strict=True))["\u2581ab"] == b" ab"
    assert model.pieces[:3] == (b"", b"", b"")


def test_dropout_of_everything_leaves_the_characters() -> None:
    model = trained(["ab ab"], 8)
    ids = model.encode_word("\u2581ab", dropout=1.0, rng=np.random.default_rng(0))
    assert [model.tokens[number] for number in ids] == ["\u2581", "a", "b"]


def test_a_vocabulary_smaller_than_the_characters_is_refused() -> None:
    with pytest.raises(
        RequestError, match="vocabulary of 5 is too small: 3 special tokens and 3 characters make 6"
    ):
        trained(["ab"], 5)


def test_a_lone_surrogate_is_refused_in_a_sentence() -> None:
    with pytest.raises(RequestError, match=r"lone surrogate U\+D800"):
        sentences(["a\ud800"])
