"""Words and their counts, all that most trainers see, checked and laid out as arrays.

How text becomes words (normaliser, split) does not belong here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from paribus.errors import RequestError, shown
from paribus.text.tokenizers.unicode import utf8

Ints = npt.NDArray[np.int64]

# Up to here every sum of counts is exact, in float64 too.
_MOST_CHARACTERS = 2**53


def checked(words: Mapping[str, int]) -> dict[str, int]:
    """`words` without empty ones. Raises `RequestError` for none at all, a count below 1 or a lone surrogate."""
    found = {word: int(count) for word, count in words.items() if word}
    if not found:
        raise RequestError("there are no words to train on: the text is empty")
    for word, count in found.items():
        if count < 1:
            raise RequestError(f"the word {shown(word, at_most=40)!r} has the count {count}; the least is 1")
    if sum(len(word) * count for word, count in found.items()) >= _MOST_CHARACTERS:
        raise RequestError(
            "the counts of the words add up to 2^53 characters or more: divide them or take a sample"
        )
    utf8("".join(found))
    return found


def code_points(words: Sequence[str]) -> Ints:
    """[characters of all words]: their code points in a row."""
    return np.frombuffer("".join(words).encode("utf-32-le"), dtype=np.uint32).astype(np.int64)


def byte_values(words: Sequence[str]) -> Ints:
    """[bytes of all words]: their UTF-8 in a row."""
    return np.frombuffer(utf8("".join(words)), dtype=np.uint8).astype(np.int64)


def largest_pair_count(words: Mapping[str, int], *, unit: str = "bytes") -> int:
    """The largest count that any pair can have at any time of training on `words`; 0 if no word has a pair.

    Libraries that count in 32 bits (`tokenizers`, `rustbpe`) go wrong where it passes 2^31 - 1. `unit` is
    "bytes" or "characters". It is the largest count at the start: wherever two symbols x, y meet, the last unit of
    x meets the first of y, at no other meeting's place, so merging never makes a pair more frequent than the
    pair of units inside it.
    """
    kept = checked(words)
    symbols = byte_values(list(kept)) if unit == "bytes" else code_points(list(kept))
    lengths = np.array([len(utf8(word)) if unit == "bytes" else len(word) for word in kept], dtype=np.int64)
    weights = np.repeat(np.array(list(kept.values()), dtype=np.int64), lengths)
    inside = np.ones(len(symbols), dtype=bool)
    inside[np.cumsum(lengths) - 1] = False  # the last unit of a word has nothing to its right
    left = np.flatnonzero(inside)
    if not left.size:
        return 0
    keys, where = np.unique(symbols[left] << 32 | symbols[left + 1], return_inverse=True)
    sums = np.zeros(len(keys), dtype=np.int64)
    np.add.at(sums, where, weights[left])
    return int(sums.max())
