"""Training by merges, told step by step: the pair, what it was measured by, what else was near, how words look then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from paribus.text.tokenizers.explaining.following import Followed
from paribus.text.tokenizers.explaining.merge_methods import MergeMethod
from paribus.text.tokenizers.methods.base import Corpus
from paribus.text.tokenizers.recipe import Recipe
from paribus.text.tokenizers.reference.pairs import Candidate, Merge

_NO_PIECE = -1  # a character without a piece of its own


@dataclass(frozen=True)
class Pair:
    """Two neighbours as they are written, how often they stand together and each by itself, and the score of merging."""

    left: str
    right: str
    count: int
    left_count: int
    right_count: int
    score: float


@dataclass(frozen=True)
class WordNow:
    """A word of the corpus, how often it occurs, and its pieces at some moment."""

    word: str
    count: int
    pieces: tuple[str, ...]


@dataclass(frozen=True)
class MergeStep:
    """A merge: the `pair` became the piece `made`. `changed` distinct words look otherwise after it; `words` are the most
    frequent of them.
    """

    number: int
    pair: Pair
    made: str
    runners_up: tuple[Pair, ...]
    changed: int
    words: tuple[WordNow, ...]


@dataclass(frozen=True)
class MergeTraining:
    """The merges from the `first` shown on; `pieces` are all ids up to the last of them, the `alphabet` of which was there
    before the first merge. `ended` tells that no pair was left; `words` are the most frequent words after the last merge.
    """

    method: str
    best: str
    by_likelihood: bool
    distinct_words: int
    alphabet: int
    steps: tuple[MergeStep, ...]
    ended: bool
    pieces: tuple[str, ...]
    words: tuple[WordNow, ...]


def explain_merges(
    row: MergeMethod,
    recipe: Recipe,
    corpus: Corpus,
    *,
    room: int,
    first: int,
    steps: int,
    runners_up: int,
    most_words: int,
) -> MergeTraining:
    """Merges `first` to `first + steps - 1`, fewer where a vocabulary of `room` ids or the text has no more."""
    words = row.words(recipe, corpus)
    start = row.start(words, recipe) if words else 0
    last = first + steps - 1
    trained = row.train(words, recipe, min(room, start + last), runners_up)
    tokens = row.tokens(trained)
    ids = {token: number for number, token in reversed(list(enumerate(tokens)))}
    followed = Followed(
        ([ids.get(unit, _NO_PIECE) for unit in row.cut(word)] for word in words), words.values()
    )
    # Most frequent first, of equals the one that came first.
    order = sorted(range(len(words)), key=lambda number: -followed.counts[number])
    rank = {number: place for place, number in enumerate(order)}
    told, names = _Told(tokens, followed, list(words)), []
    for number, merge in enumerate(trained.merges, 1):
        pair = told.pair(merge)
        others = tuple(map(told.pair, merge.runners_up))
        changed = sorted(followed.merge(merge.left, merge.right, merge.made), key=rank.__getitem__)
        if number >= first:
            now = tuple(map(told.word, changed[:most_words]))
            names.append(MergeStep(number, pair, tokens[merge.made], others, len(changed), now))
    return MergeTraining(
        method=row.name,
        best=row.best,
        by_likelihood=row.by_likelihood,
        distinct_words=len(words),
        alphabet=start,
        steps=tuple(names),
        ended=len(trained.merges) < min(room - start, last),
        pieces=tuple(tokens),
        words=tuple(map(told.word, order[:most_words])),
    )


class _Told:
    """Ids as they are written, with the counts of the moment."""

    def __init__(self, tokens: Sequence[str], followed: Followed, words: Sequence[str]) -> None:
        self._tokens, self._followed, self._words = tokens, followed, words

    def pair(self, pair: Merge | Candidate) -> Pair:
        tokens, occurs = self._tokens, self._followed.occurs
        return Pair(
            tokens[pair.left],
            tokens[pair.right],
            pair.count,
            occurs[pair.left],
            occurs[pair.right],
            pair.score,
        )

    def word(self, number: int) -> WordNow:
        row = self._followed.words[number]
        # A character without a piece divides what may merge; it is written as it is.
        pieces = tuple("?" if symbol == _NO_PIECE else self._tokens[symbol] for symbol in row)
        return WordNow(self._words[number], self._followed.counts[number], pieces)
