"""The pieces that Unigram training starts from: every string that repeats and is followed by different things.

SentencePiece finds them as the inner nodes of a suffix tree over the bytes of the lines. Words are enough, since no
piece crosses a space: here strings grow character by character, and those that occur once are given up at once.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from paribus.text.tokenizers.reference.sentencepiece_text import RESERVED, SPACE, PieceRules
from paribus.text.tokenizers.reference.words import Ints, code_points

_NEXT_WORD = SPACE.encode()[0]  # the byte after a word inside a line
_NEXT_LINE = 0  # the byte after a word that ends a line


def seed_scores(
    words: Mapping[str, int], line_ends: Mapping[str, int], *, rules: PieceRules, most: int
) -> dict[str, float]:
    """Seeds and their scores, best first: characters with their counts, then at most `most` strings with count times
    characters.

    A string is a seed if it occurs twice or more and the bytes that follow its occurrences are not all the same, those
    being the first bytes of the next characters. `line_ends` says how many of a word's occurrences end a line.
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


def _grown(words: Mapping[str, int], line_ends: Mapping[str, int], rules: PieceRules) -> dict[str, int]:
    """The strings of two characters and more that are seeds, with their counts."""
    rows = [(word, count - line_ends.get(word, 0), _NEXT_WORD) for word, count in words.items()]
    rows += [(word, count, _NEXT_LINE) for word, count in line_ends.items()]
    rows = [row for row in rows if row[1] > 0]
    text = "".join(row[0] for row in rows)
    symbols, lengths = code_points([text]), np.array([len(row[0]) for row in rows])
    weight = np.repeat(np.array([row[1] for row in rows]), lengths)
    ends = np.cumsum(lengths)
    room = np.repeat(ends, lengths) - np.arange(len(symbols))
    follows = np.r_[_first_bytes(symbols)[1:], 0]
    follows[ends - 1] = [row[2] for row in rows]
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
        _, sample, strings = np.unique(
            strings << 21 | symbols[places + length - 1], return_index=True, return_inverse=True
        )
        counts = np.bincount(strings, weight[places]).astype(np.int64)
        lowest, highest = np.full(len(counts), 256), np.full(len(counts), -1)
        np.minimum.at(lowest, strings, follows[places + length - 1])
        np.maximum.at(highest, strings, follows[places + length - 1])
        for string in np.flatnonzero((counts > 1) & (lowest < highest)).tolist():
            start = places[sample[string]]
            piece = text[start : start + length]
            if rules.allow(piece):
                found[piece] = int(counts[string])
        repeats = counts[strings] > 1
        places, strings = places[repeats], strings[repeats]
    return found


def _first_bytes(symbols: Ints) -> Ints:
    """The first byte of the UTF-8 of each code point."""
    return np.select(
        [symbols < 0x80, symbols < 0x800, symbols < 0x10000],
        [symbols, 0xC0 | symbols >> 6, 0xE0 | symbols >> 12],
        0xF0 | symbols >> 18,
    )
