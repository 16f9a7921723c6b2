"""A hidden Markov model of characters under the tags BMES: trained by counting, decoded by Viterbi in log space.

P(tags, text) = P(t1) P(c1 | t1) prod P(ti | ti-1) P(ci | ti).
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from paribus.errors import RequestError, shown
from paribus.text.segmenting.viterbi import BEFORE, MISSING, TAGS, Scores, best_tags, spelled, tags_of

_SPACE = re.compile(r"(\s+)")


class HiddenMarkov:
    """The log probabilities: `start` of tags, `move` from tag to tag, `emission` of a character under B, M, E and S.

    `unseen` scores a character that `emission` has not, under B, M, E, S. What a table leaves out cannot be
    (-3.14e100). Raises `RequestError` for tags that do not exist and for what is no log probability.
    """

    def __init__(
        self,
        *,
        start: Mapping[str, float],
        move: Mapping[str, Mapping[str, float]],
        emission: Mapping[str, Scores],
        unseen: Scores = (MISSING,) * 4,
    ) -> None:
        for tag in (*start, *move, *(to for each in move.values() for to in each)):
            if tag not in tuple(TAGS):
                raise RequestError(f"the tags are B, M, E and S; {shown(tag, at_most=20)!r} is none")
        self.start = {tag: _log_probability(start.get(tag, MISSING)) for tag in TAGS}
        given = {tag: move.get(tag, {}) for tag in TAGS}
        self.move = {
            tag: {to: _log_probability(given[tag].get(to, MISSING)) for to in TAGS if tag in BEFORE[to]}
            for tag in TAGS
        }
        for letter in emission:
            if len(letter) != 1:
                raise RequestError(
                    f"the model is one of characters; {shown(letter, at_most=40)!r} has {len(letter):,}"
                )
        self.emission = {letter: _scores(scores) for letter, scores in emission.items()}
        self.unseen = _scores(unseen)

    def tags(self, text: str) -> str:
        """The most probable tags, one a character; of equal ones the larger letter, from the end on."""
        emission, unseen = self.emission, self.unseen
        return best_tags((emission.get(letter, unseen) for letter in text), start=self.start, move=self.move)

    def words(self, text: str) -> list[str]:
        """The words that the most probable tags spell."""
        return spelled(text, self.tags(text))

    @classmethod
    def learned(cls, sentences: Iterable[Sequence[str]], *, smoothing: float = 0.3) -> HiddenMarkov:
        """The model of segmented text by counts n, with `smoothing` s added to each.

        P(c | t) = (n(t, c) + s) / (n(t) + s (V + 1)), where V characters were seen and one stands for all others;
        P(u | t) = (n(t, u) + s) / (n(t, any) + 2 s) for the two tags u that may follow t, and the same for the two that
        may begin. Raises `RequestError` for a smoothing that is not above zero.
        """
        if not 0 < smoothing < math.inf:
            raise RequestError(f"smoothing is a number above zero; it is {smoothing}")
        starts: Counter[str] = Counter()
        moves: Counter[str] = Counter()
        seen: dict[str, list[int]] = {}
        for words in sentences:
            tags = tags_of(words)
            starts.update(tags[:1])
            moves.update(map("".join, itertools.pairwise(tags)))
            for letter, tag in zip("".join(words), tags, strict=True):
                seen.setdefault(letter, [0] * 4)[TAGS.index(tag)] += 1
        if not seen:
            raise RequestError("there is no segmented text to learn from")
        everything = [
            sum(column) + smoothing * (len(seen) + 1) for column in zip(*seen.values(), strict=True)
        ]

        def smoothed(counts: Sequence[int]) -> list[float]:
            return [math.log((n + smoothing) / of_all) for n, of_all in zip(counts, everything, strict=True)]

        return cls(
            start=_shares({tag: starts[tag] for tag in "BS"}, smoothing),
            move={
                tag: _shares({to: moves[tag + to] for to in TAGS if tag in BEFORE[to]}, smoothing)
                for tag in TAGS
            },
            emission={letter: smoothed(counts) for letter, counts in seen.items()},
            unseen=smoothed([0] * 4),
        )


class HmmSegmenter:
    """The words of the most probable tags. White space is no part of a word: a run of it is a piece."""

    name: ClassVar[str] = "hmm"

    def __init__(self, model: HiddenMarkov) -> None:
        self.model = model

    def segment(self, text: str) -> list[str]:
        pieces: list[str] = []
        for number, stretch in enumerate(_SPACE.split(text)):
            pieces += self.model.words(stretch) if number % 2 == 0 else [stretch]
        return pieces


def _shares(counts: Mapping[str, int], smoothing: float) -> dict[str, float]:
    of_all = sum(counts.values()) + smoothing * len(counts)
    return {tag: math.log((count + smoothing) / of_all) for tag, count in counts.items()}


def _scores(given: Scores) -> tuple[float, ...]:
    if len(given) != len(TAGS):
        raise RequestError(f"a character has a score for each of B, M, E and S; {len(given)} were given")
    return tuple(map(_log_probability, given))


def _log_probability(given: float) -> float:
    if not MISSING <= given <= 0:
        raise RequestError(f"a log probability lies in [{MISSING:g}, 0]; {given} was given")
    return float(given)
