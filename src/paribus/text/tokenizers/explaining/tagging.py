"""The Viterbi table of a hidden Markov model: the best score of each tag at each character, and the tag before it."""

from __future__ import annotations

from dataclasses import dataclass, field

from paribus.text.segmenting.hmm import HiddenMarkov
from paribus.text.segmenting.viterbi import BEFORE, MISSING, TAGS, spelled


@dataclass(frozen=True)
class TagRow:
    """A character: log P(character | tag), and the best score of a row of tags that ends in each, for B, M, E, S.

    `before` [4] is the tag before on that best row, "" for the first character; `tag` is the one that is taken. A score of
    about -3e100 stands for what cannot be.
    """

    letter: str
    emission: tuple[float, ...]
    best: tuple[float, ...]
    before: tuple[str, ...]
    tag: str


@dataclass(frozen=True)
class Tagging:
    """The table of one stretch and the words that its tags spell."""

    text: str
    rows: tuple[TagRow, ...]
    words: tuple[str, ...]
    kind: str = field(default="tags", init=False)


def tagging(model: HiddenMarkov, text: str) -> Tagging:
    """best(i, t) = max over tags u that may stand before t of best(i-1, u) + log P(t | u) + log P(c_i | t)."""
    emissions = [tuple(model.emission.get(letter, model.unseen)) for letter in text]
    best: list[dict[str, float]] = []
    before: list[dict[str, str]] = []
    for number, emission in enumerate(emissions):
        scores: dict[str, float] = {}
        came_from: dict[str, str] = {}
        for tag, score in zip(TAGS, emission, strict=True):
            if not number:
                scores[tag], came_from[tag] = model.start[tag] + score, ""
                continue
            # Of equal sums the larger letter, which max over (sum, letter) takes.
            scores[tag], came_from[tag] = max(
                (best[-1][tag_before] + model.move[tag_before].get(tag, MISSING) + score, tag_before)
                for tag_before in BEFORE[tag]
            )
        best.append(scores)
        before.append(came_from)
    tags = ""
    if text:
        tags = max("ES", key=lambda tag: (best[-1][tag], tag))
        for came_from in reversed(before[1:]):
            tags = came_from[tags[0]] + tags
    rows = zip(text, emissions, best, before, tags, strict=True)
    return Tagging(
        text,
        tuple(
            TagRow(letter, emission, tuple(scores.values()), tuple(came_from.values()), tag)
            for letter, emission, scores, came_from, tag in rows
        ),
        tuple(spelled(text, tags)),
    )
