"""The methods that merge pairs, each with what telling its training takes. A method joins by one row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from paribus.text.tokenizers.explaining.writing import written
from paribus.text.tokenizers.methods.base import Corpus
from paribus.text.tokenizers.methods.coverage import covered
from paribus.text.tokenizers.methods.sentencepiece import LONGEST, read, taken
from paribus.text.tokenizers.methods.sentencepiece import written as written_word
from paribus.text.tokenizers.recipe import Recipe
from paribus.text.tokenizers.reference.bpe import BPE, train_bpe
from paribus.text.tokenizers.reference.pairs import Merge
from paribus.text.tokenizers.reference.sentencepiece_bpe import SentencePieceBPE, train_sentencepiece_bpe
from paribus.text.tokenizers.reference.sentencepiece_text import BOUNDARY, PieceRules
from paribus.text.tokenizers.reference.wordpiece import (
    PREFIX,
    UNKNOWN,
    WordPiece,
    train_wordpiece,
    train_wordpiece_likelihood,
)

Words = Mapping[str, int]
#: The special tokens inside the models of SentencePiece's methods.
UNKNOWN_ONLY = ("<unk>",)


class Trained(Protocol):
    """A vocabulary that was made by merging."""

    @property
    def merges(self) -> tuple[Merge, ...]: ...

    @property
    def vocab_size(self) -> int: ...


@dataclass(frozen=True, kw_only=True)
class MergeMethod:
    """One way to merge.

    `best` says which pair is merged. `start(words, recipe)` is how many ids there are before the first merge,
    `train(words, recipe, vocab_size, runners_up)` the trainer, `tokens(trained)` [V] its pieces as they are written,
    `cut(word)` a word before the first merge, in written pieces.
    """

    name: str
    best: str
    words: Callable[[Recipe, Corpus], Words]
    start: Callable[[Words, Recipe], int]
    train: Callable[[Words, Recipe, int, int], Trained]
    tokens: Callable[[Any], Sequence[str]]
    cut: Callable[[str], Sequence[str]]
    by_likelihood: bool = False


def sentencepiece_words(recipe: Recipe, corpus: Corpus) -> dict[str, int]:
    """The words that SentencePiece's methods are trained on."""
    return taken(covered(corpus.words(recipe), recipe)[0], recipe.min_count or 1)


def piece_rules(recipe: Recipe) -> PieceRules:
    """How long a piece may be: what SentencePiece's methods are told."""
    return PieceRules(longest=int(recipe.options.get("longest", LONGEST)))


def as_library(words: Words) -> dict[str, int]:
    """The words as SentencePiece has them: blanks as letters of their own, boundaries for names of special tokens."""
    return {written_word(word).replace(UNKNOWN_ONLY[0], BOUNDARY): count for word, count in words.items()}


def _all(recipe: Recipe, corpus: Corpus) -> Words:
    return corpus.words(recipe)


def _covered(recipe: Recipe, corpus: Corpus) -> Words:
    return covered(corpus.words(recipe), recipe)[0]


def _train_bytes(words: Words, recipe: Recipe, vocab_size: int, runners_up: int) -> BPE:
    return train_bpe(words, vocab_size=vocab_size, min_count=recipe.min_count or 1, runners_up=runners_up)


def _train_characters(words: Words, recipe: Recipe, vocab_size: int, runners_up: int) -> BPE:
    return train_bpe(
        words,
        vocab_size=vocab_size,
        unit="characters",
        min_count=recipe.min_count or 1,
        runners_up=runners_up,
    )


def _train_wordpiece(words: Words, recipe: Recipe, vocab_size: int, runners_up: int) -> WordPiece:
    return train_wordpiece(
        words, vocab_size=vocab_size, min_count=recipe.min_count or 1, runners_up=runners_up
    )


def _train_likelihood(words: Words, recipe: Recipe, vocab_size: int, runners_up: int) -> WordPiece:
    return train_wordpiece_likelihood(
        words, vocab_size=vocab_size, min_count=recipe.min_count or 2, runners_up=runners_up
    )


def _train_sentencepiece(words: Words, recipe: Recipe, vocab_size: int, runners_up: int) -> SentencePieceBPE:
    return train_sentencepiece_bpe(
        as_library(words),
        vocab_size=vocab_size,
        rules=piece_rules(recipe),
        specials=UNKNOWN_ONLY,
        runners_up=runners_up,
    )


def _bytes(word: str) -> list[str]:
    return [written(bytes((value,))) for value in word.encode()]


def _word_pieces(word: str) -> list[str]:
    return [word[0], *(PREFIX + letter for letter in word[1:])]


def _pieces(trained: BPE) -> list[str]:
    return list(map(written, trained.pieces))


def _tokens(trained: WordPiece) -> tuple[str, ...]:
    return trained.tokens


def _library_tokens(trained: SentencePieceBPE) -> list[str]:
    return list(map(read, trained.tokens))


def _word_piece_start(words: Words, recipe: Recipe) -> int:
    return len((UNKNOWN,)) + len(set("".join(words))) + len(set("".join(word[1:] for word in words)))


_MOST_FREQUENT = "the pair with the largest count; of equals the one with the smallest ids, left before right"

MERGE_METHODS: dict[str, MergeMethod] = {
    row.name: row
    for row in (
        MergeMethod(
            name="byte_bpe",
            best=_MOST_FREQUENT,
            words=_all,
            start=lambda words, recipe: 256,
            train=_train_bytes,
            tokens=_pieces,
            cut=_bytes,
        ),
        MergeMethod(
            name="bpe",
            best=_MOST_FREQUENT,
            words=_covered,
            start=lambda words, recipe: len(set("".join(words))),
            train=_train_characters,
            tokens=_pieces,
            cut=list,
        ),
        MergeMethod(
            name="wordpiece",
            best=_MOST_FREQUENT,
            words=_covered,
            start=_word_piece_start,
            train=_train_wordpiece,
            tokens=_tokens,
            cut=_word_pieces,
        ),
        MergeMethod(
            name="wordpiece_likelihood",
            best="the pair with the largest count(ab) / (count(a) count(b)); of equals the one with the larger count, "
            "then the piece that sorts first",
            words=_covered,
            start=_word_piece_start,
            train=_train_likelihood,
            tokens=_tokens,
            cut=_word_pieces,
            by_likelihood=True,
        ),
        MergeMethod(
            name="sentencepiece_bpe",
            best="the pair with the largest count; of equals the shorter piece, then the one that sorts first",
            words=sentencepiece_words,
            start=lambda words, recipe: len(UNKNOWN_ONLY) + len(set("".join(words))),
            train=_train_sentencepiece,
            tokens=_library_tokens,
            cut=list,
        ),
    )
}
