"""Words far longer than any in a language: no method takes time or memory out of proportion to them."""

import pytest

from paribus.text.tokenizers.methods import Corpus, sentencepiece, train_tokenizer, wordpiece
from paribus.text.tokenizers.recipe import Recipe


def longest(method: str, text: str) -> int:
    tokenizer = train_tokenizer(Recipe(method=method, vocab_size=400), Corpus(lambda: [text]))
    assert tokenizer.decode(tokenizer.encode(text)) == text
    return max(map(len, tokenizer.pieces))


def test_topdown_wordpiece_counts_no_substrings_of_any_length() -> None:
    assert longest("wordpiece_topdown", "a" * 300 + " " + "b" * 300) == wordpiece.LONGEST_PIECE


def test_unigram_is_trained_on_parts_of_a_long_word(monkeypatch: pytest.MonkeyPatch) -> None:
    assert longest("unigram", "abcdefg" * 100) > 3
    monkeypatch.setattr(sentencepiece, "LONGEST_WORD", 3)
    assert longest("unigram", "abcdefg" * 100) == 3
