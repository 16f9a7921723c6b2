"""Unigram training, told round by round: what is fitted, what is dropped, and what dropping it costs.

By the readable trainer, which begins with the pieces of the sentencepiece library that `methods` trains with; of pieces
that are missed alike the library, which sums in float32, now and then keeps another.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from paribus.text.tokenizers.explaining.merge_methods import (
    UNKNOWN_ONLY,
    as_library,
    piece_rules,
    sentencepiece_words,
)
from paribus.text.tokenizers.explaining.merging import WordNow
from paribus.text.tokenizers.explaining.room import room_for
from paribus.text.tokenizers.methods.base import Corpus
from paribus.text.tokenizers.methods.sentencepiece import in_parts, read, written
from paribus.text.tokenizers.recipe import Recipe
from paribus.text.tokenizers.reference.sentencepiece_text import sentencepiece_line_ends
from paribus.text.tokenizers.reference.unigram import train_unigram
from paribus.text.tokenizers.reference.unigram_model import Pruned, Round

METHOD = "unigram"


@dataclass(frozen=True)
class PrunedPiece:
    """A dropped piece: its log probability, how often the best segmentations used it, and its loss: what the log
    likelihood of a token falls by if the piece is always its parts. None where nothing used it.
    """

    piece: str
    score: float
    used: int
    loss: float | None


@dataclass(frozen=True)
class PruningRound:
    """Pieces `before` the round, after each step of EM (`fitted`) and after pruning (`kept`); `objective` is the negative log
    likelihood of a word in nats; `pruned` are those of the least loss of all `dropped`, of which nothing used `unused`.
    """

    number: int
    before: int
    fitted: tuple[int, ...]
    objective: float
    kept: int
    dropped: int
    unused: int
    pruned: tuple[PrunedPiece, ...]


@dataclass(frozen=True)
class ScoredPiece:
    """A piece and its log probability."""

    piece: str
    score: float


@dataclass(frozen=True)
class UnigramTraining:
    """All rounds from `seeds` pieces on. `best` are the pieces of the highest scores, `pieces` all of them by id, `words` the
    most frequent words, each on its best path.
    """

    method: str
    distinct_words: int
    seeds: int
    rounds: tuple[PruningRound, ...]
    best: tuple[ScoredPiece, ...]
    pieces: tuple[str, ...]
    words: tuple[WordNow, ...]


def explain_unigram(recipe: Recipe, corpus: Corpus, *, steps: int, most_words: int) -> UnigramTraining:
    """All rounds; of each the first `steps` dropped pieces."""
    words = in_parts(sentencepiece_words(recipe, corpus))
    trained = train_unigram(
        as_library(words),
        vocab_size=room_for(recipe, len(UNKNOWN_ONLY) + len(set("".join(words)))),
        # To the library every word is a line that stands there as often as the word does.
        line_ends=sentencepiece_line_ends(as_library(words)),
        rules=piece_rules(recipe),
        specials=UNKNOWN_ONLY,
        told=True,
    )
    tokens = tuple(map(read, trained.tokens))
    rounds = []
    before = trained.seeds
    for number, each in enumerate(trained.rounds, 1):
        rounds.append(_round(number, before, each, steps))
        before = each.kept
    ordinary = range(len(trained.specials), trained.vocab_size)
    frequent = sorted(words, key=lambda word: -words[word])[:most_words]
    return UnigramTraining(
        method=METHOD,
        distinct_words=len(words),
        seeds=trained.seeds,
        rounds=tuple(rounds),
        best=tuple(ScoredPiece(tokens[each], trained.scores[each]) for each in ordinary[:steps]),
        pieces=tokens,
        words=tuple(
            WordNow(word, words[word], tuple(tokens[number] for number in trained.encode_word(written(word))))
            for word in frequent
        ),
    )


def _round(number: int, before: int, each: Round, steps: int) -> PruningRound:
    pruned = sorted(map(_piece, each.pruned), key=_order)
    return PruningRound(
        number,
        before,
        each.fitted,
        each.objective,
        each.kept,
        len(pruned),
        sum(not row.used for row in pruned),
        tuple(pruned[:steps]),
    )


def _piece(row: Pruned) -> PrunedPiece:
    known = row.used > 0 and math.isfinite(row.loss)
    return PrunedPiece(read(row.piece), row.score, row.used, row.loss if known else None)


def _order(row: PrunedPiece) -> tuple[bool, float, str]:
    """By loss; those that nothing used come last."""
    return (row.loss is None, row.loss or 0.0, row.piece)
