"""Which characters a vocabulary takes up: so many of the most frequent ones that nearly all of the text is covered.

A rare character would cost a place that a piece could have; it is written by its bytes, or is unknown.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping

from paribus.errors import RequestError
from paribus.text.tokenizers.recipe import Recipe

#: As in SentencePiece.
COVERAGE = 0.9995


def covered(words: Mapping[str, int], recipe: Recipe) -> tuple[dict[str, int], list[str]]:
    """Words cut where a character is not taken up, with their counts, and the characters that are, by code point.

    Taken up are the most frequent characters (of equals the lowest code points) that make at least the share
    `options["coverage"]` of all. Raises `RequestError` for a share that is none and for no text.
    """
    share = recipe.options.get("coverage", COVERAGE)
    if not isinstance(share, int | float) or not 0 < share <= 1:
        raise RequestError(
            f"coverage is {share!r}: it is the share of all characters, more than 0 and at most 1"
        )
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for character in word:
            counts[character] += count
    if not counts:
        raise RequestError("there is no text to train on")
    wanted, reached = share * sum(counts.values()), 0
    taken: set[str] = set()
    for character, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        if reached >= wanted:
            break
        taken.add(character)
        reached += count
    found: Counter[str] = Counter()
    for word, count in words.items():
        if taken.issuperset(word):
            found[word] += count
        else:
            for inside, run in itertools.groupby(word, taken.__contains__):
                if inside:
                    found["".join(run)] += count
    return dict(found), sorted(taken)
