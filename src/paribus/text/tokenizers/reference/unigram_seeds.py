"""The pieces that Unigram training starts from: every string that repeats and is followed by different things.

SentencePiece finds them as the inner nodes of a suffix tree over the bytes of all lines, a NUL after each; a node that
ends in NUL counts for the string before it. Words are enough, since no piece crosses a space: here strings grow
character by character, and those that occur once are given up at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from paribus.text.tokenizers.reference.sentencepiece_text import (
    RESERVED,
    SPACE,
    LineEnd,
    PieceRules,
)
from paribus.text.tokenizers.reference.words import Ints, code_points

_NEXT_WORD = SPACE.encode()[0]  # the byte after a word inside a line
_LINE_END = 0  # the byte after a word that ends a line
_NOTHING = -1  # after the last line


def seed_scores(
    words: Mapping[str, int], line_ends: Mapping[LineEnd, int], *, rules: PieceRules, most: int
) -> dict[str, float]:
    """Seeds and their scores, best first: characters with their counts, then at most `most` strings with count times
    characters.

    A string is a seed with all its occurrences if the bytes that follow them are not all the same, those being the first
    bytes of the next characters. Those that end a line, as `line_ends` says of words, count (again, or alone) if the
    bytes that follow the NUL are not all the same.
    """
    occurs = _characters(words)
    grown = _grown(words, line_ends, rules)
    # In single precision, as the library holds them.
    scores = {string: float(np.float32(count) * np.float32(len(string))) for string, count in grown.items()}
    order = sorted(scores, key=lambda string: (-scores[string], -len(string.encode()), string))
    return {
        **{each: float(occurs[each]) for each in sorted(occurs, key=lambda each: (-occurs[each], each))},
        **{string: scores[string] for string in order[:most]},
    }


def _characters(words: Mapping[str, int]) -> dict[str, int]:
    occurs: dict[str, int] = {}
    for word, count in words.items():
        for character in word:
            if character != RESERVED:
                occurs[character] = occurs.get(character, 0) + count
    return occurs


def _grown(words: Mapping[str, int], line_ends: Mapping[LineEnd, int], rules: PieceRules) -> dict[str, int]:
    """The strings of two characters and more that are seeds, with their counts."""
    inside = Counter(words)
    for (word, _), count in line_ends.items():
        inside[word] -= count
    rows = [(word, count, _NEXT_WORD, "") for word, count in inside.items() if count > 0]
    rows += [(word, count, _LINE_END, after) for (word, after), count in line_ends.items()]
    text = "".join(row[0] for row in rows)
    symbols, lengths = code_points([text]), np.array([len(row[0]) for row in rows])
    weight = np.repeat(np.array([row[1] for row in rows]), lengths)
    ends = np.cumsum(lengths)
    room = np.repeat(ends, lengths) - np.arange(len(symbols))
    follows = np.r_[_first_bytes(symbols)[1:], 0]
    follows[ends - 1] = [row[2] for row in rows]
    beyond = np.repeat([_first_byte(row[3]) for row in rows], lengths)  # after the NUL, where there is one
    places = np.flatnonzero(symbols != ord(RESERVED))
    strings = symbols[places]  # which string stands at each place, so far of one character
    found: dict[str, int] = {}
    for length in range(2, rules.longest + 1):
        longer = (room[places] >= length) & (
            symbols[np.minimum(places + length - 1, len(symbols) - 1)] != ord(RESERVED)
        )
        places, strings = places[longer], strings[longer]
        if not places.size:
            break
        last = places + length - 1
        _, sample, strings = np.unique(strings << 21 | symbols[last], return_index=True, return_inverse=True)
        counts = _counted(strings, weight[places], len(sample))
        at_end = follows[last] == _LINE_END
        ended = _counted(strings[at_end], weight[places[at_end]], len(sample))
        score = np.where(_differ(strings, follows[last], len(sample)), counts, 0)
        score += np.where(_differ(strings[at_end], beyond[last[at_end]], len(sample)), ended, 0)
        for string in np.flatnonzero(score).tolist():
            start = places[sample[string]]
            piece = text[start : start + length]
            if rules.allow(piece):
                found[piece] = int(score[string])
        repeats = counts[strings] > 1
        places, strings = places[repeats], strings[repeats]
    return found


def _counted(strings: Ints, weight: Ints, number: int) -> Ints:
    """[number]: how often each string occurs."""
    return np.bincount(strings, weight, minlength=number).astype(np.int64)


def _differ(strings: Ints, follows: Ints, number: int) -> npt.NDArray[np.bool_]:
    """[number]: whether the bytes that follow each string are not all the same."""
    lowest, highest = np.full(number, 256), np.full(number, _NOTHING)
    np.minimum.at(lowest, strings, follows)
    np.maximum.at(highest, strings, follows)
    return lowest < highest


def _first_byte(text: str) -> int:
    return text[0].encode()[0] if text else _NOTHING


def _first_bytes(symbols: Ints) -> Ints:
    """The first byte of the UTF-8 of each code point."""
    return np.select(
        [symbols < 0x80, symbols < 0x800, symbols < 0x10000],
        [symbols, 0xC0 | symbols >> 6, 0xE0 | symbols >> 12],
        0xF0 | symbols >> 18,
    )
