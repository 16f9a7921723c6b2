"""WordPiece: characters merged by frequency or by likelihood, or pieces cut from the top; encoded by longest match."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from paribus.text.tokenizers.methods.base import Corpus, Method
from paribus.text.tokenizers.methods.coverage import COVERAGE, covered
from paribus.text.tokenizers.recipe import Recipe
from paribus.text.tokenizers.reference.topdown import train_wordpiece_topdown
from paribus.text.tokenizers.reference.wordpiece import (
    UNKNOWN,
    WordPiece,
    train_wordpiece,
    train_wordpiece_likelihood,
)

#: No word is too long: an unknown word would lose its text.
ANY_LENGTH = 2**62
#: Of a word of n characters not all n^2 / 2 substrings are counted. TensorFlow Text takes no longer words.
LONGEST_PIECE = 50


class WordPieces:
    """The vocabulary of the reference; its own unknown token stands for a word with a gap."""

    def __init__(self, trained: WordPiece) -> None:
        self.trained = trained
        self.pieces = trained.pieces

    def encode_word(self, word: str) -> list[int]:
        return self.trained.encode_word(word)

    def state(self) -> dict[str, Any]:
        return {"tokens": list(self.trained.tokens)}


def restore(state: Mapping[str, Any]) -> WordPieces:
    return WordPieces(
        WordPiece(tokens=tuple(state["tokens"]), unknown=0, specials=(UNKNOWN,), longest_word=ANY_LENGTH)
    )


def _training(trainer: Callable[..., WordPiece], least: int) -> Callable[[Recipe, Corpus, int], WordPieces]:
    def train(recipe: Recipe, corpus: Corpus, room: int) -> WordPieces:
        words, _ = covered(corpus.words(recipe), recipe)
        trained = trainer(words, vocab_size=room, min_count=recipe.min_count or least)
        return restore({"tokens": trained.tokens})

    return train


def _topdown(recipe: Recipe, corpus: Corpus, room: int) -> WordPieces:
    words, _ = covered(corpus.words(recipe), recipe)
    trained = train_wordpiece_topdown(
        words,
        vocab_size=room,
        lowest=recipe.min_count or 1,
        longest_word=ANY_LENGTH,
        most_characters=ANY_LENGTH,
        longest_piece=LONGEST_PIECE,
    )
    return restore({"tokens": trained.tokens})


WORDPIECE_TOPDOWN = Method(
    name="wordpiece_topdown",
    summary="substrings of words that are frequent enough, the longest first (TensorFlow Text)",
    train=_topdown,
    restore=restore,
    options={"coverage": COVERAGE},
)
WORDPIECE = Method(
    name="wordpiece",
    summary="the most frequent pair is merged, pieces inside a word marked (what libraries call WordPiece)",
    train=_training(train_wordpiece, 1),
    restore=restore,
    options={"coverage": COVERAGE},
)
WORDPIECE_LIKELIHOOD = Method(
    name="wordpiece_likelihood",
    summary="the pair of largest c(ab) / (c(a) c(b)) is merged (Schuster and Nakajima, 2012)",
    train=_training(train_wordpiece_likelihood, 2),
    restore=restore,
    options={"coverage": COVERAGE},
)
