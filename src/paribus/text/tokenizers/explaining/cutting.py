"""WordPiece cut from the top, told: which thresholds were tried, and what the one that was taken keeps."""

from __future__ import annotations

from dataclasses import dataclass

from paribus.text.tokenizers.explaining.merging import WordNow
from paribus.text.tokenizers.explaining.room import room_for
from paribus.text.tokenizers.methods.base import Corpus
from paribus.text.tokenizers.methods.coverage import covered
from paribus.text.tokenizers.methods.wordpiece import ANY_LENGTH, LONGEST_PIECE
from paribus.text.tokenizers.recipe import Recipe
from paribus.text.tokenizers.reference.topdown import train_wordpiece_topdown

METHOD = "wordpiece_topdown"


@dataclass(frozen=True)
class Threshold:
    """A least count that was tried, how many tokens it gives, and whether they fit."""

    threshold: int
    tokens: int
    fits: bool


@dataclass(frozen=True)
class KeptPiece:
    """A token with the count that it is left with; a character that is kept in any case has at least 1."""

    piece: str
    count: int


@dataclass(frozen=True)
class TopDownTraining:
    """The search for the `threshold`, and the `steps` most frequent tokens of two characters and more (`kept`).

    `pieces` are all tokens by id, `words` the most frequent words in them.
    """

    method: str
    distinct_words: int
    room: int
    tried: tuple[Threshold, ...]
    threshold: int
    kept: tuple[KeptPiece, ...]
    longer: int
    pieces: tuple[str, ...]
    words: tuple[WordNow, ...]


def explain_topdown(recipe: Recipe, corpus: Corpus, *, steps: int, most_words: int) -> TopDownTraining:
    """The whole search; of what it keeps the first `steps`."""
    words = covered(corpus.words(recipe), recipe)[0]
    room = room_for(recipe, 1 + len(set("".join(words))))
    trained = train_wordpiece_topdown(
        words,
        vocab_size=room,
        lowest=recipe.min_count or 1,
        longest_word=ANY_LENGTH,
        most_characters=ANY_LENGTH,
        longest_piece=LONGEST_PIECE,
    )
    inside = [
        KeptPiece(token, trained.counts[token])
        for token in trained.tokens
        if token in trained.counts and len(token.removeprefix(trained.prefix)) > 1
    ]
    frequent = sorted(words, key=lambda word: -words[word])[:most_words]
    return TopDownTraining(
        method=METHOD,
        distinct_words=len(words),
        room=room,
        tried=tuple(Threshold(step.threshold, step.size, step.size <= room) for step in trained.tried),
        threshold=trained.threshold,
        kept=tuple(inside[:steps]),
        longer=len(inside),
        pieces=trained.tokens,
        words=tuple(
            WordNow(word, words[word], tuple(trained.tokens[number] for number in trained.encode_word(word)))
            for word in frequent
        ),
    )
