"""What a document says, as a set: every five words in a row, each five as one 64-bit number.

A word is a run of letters, digits and marks in lower case; what stands between words does not count, so that text
wrapped, indented or punctuated anew stays what it was. In scripts that are written without spaces (Chinese, Japanese,
Thai, Lao, Tibetan, Burmese, Khmer) every character is a word. Words and not characters, because runs of characters
agree between texts that have nothing in common but their language. A document of fewer than five words is one shingle.

Numbers instead of strings: that two different shingles share one has a chance of 2^-64 a pair.
"""

from __future__ import annotations

import functools
import sys
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from paribus.text.data.audit.fingerprints import Fingerprints, fingerprints, mixed

SHINGLE_WORDS = 5

_GAP, _PART, _ALONE = range(3)
_UNSPACED = (
    (0x0E00, 0x109F),  # Thai, Lao, Tibetan, Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x2E80, 0x312F),  # radicals, kana, bopomofo
    (0x31A0, 0x31FF),
    (0x3400, 0x9FFF),  # Han
    (0xA9E0, 0xA9FF),
    (0xAA60, 0xAA7F),
    (0xF900, 0xFAFF),
    (0x1AFF0, 0x1B16F),
    (0x20000, 0x3FFFF),
)
_FACTOR = 0x9E3779B97F4A7C15
_NO_WORD = np.uint64(0x2545F4914F6CDD1D)


class Shingles(NamedTuple):
    """The shingles of several documents, end to end in order of their text, repeated ones too; how many each has."""

    hashes: Fingerprints
    counts: npt.NDArray[np.int64]

    @property
    def starts(self) -> npt.NDArray[np.int64]:
        return np.cumsum(self.counts) - self.counts

    def sets(self) -> list[Fingerprints]:
        """The different shingles of each document, rising."""
        parts = np.split(self.hashes, np.cumsum(self.counts)[:-1])
        return [np.unique(part) for part in parts]


def shingles(texts: Sequence[str]) -> Shingles:
    """The word 5-grams of each text; none of a text without a word."""
    words, counts = _words(texts)
    filled = np.where(counts > 0, np.maximum(counts, SHINGLE_WORDS), 0)
    ends = np.cumsum(filled)
    padded = np.full(int(filled.sum()), _NO_WORD)
    padded[np.arange(len(words)) + np.repeat((ends - filled) - (np.cumsum(counts) - counts), counts)] = words
    hashes = fingerprints(padded, SHINGLE_WORDS)
    within = np.ones(len(padded), dtype=bool)
    last = ends[filled > 0]
    for back in range(1, SHINGLE_WORDS):  # those that would reach into the next document
        within[last - back] = False
    return Shingles(hashes[within[: len(hashes)]], np.maximum(filled - SHINGLE_WORDS + 1, 0))


def similarity(one: Fingerprints, other: Fingerprints) -> float:
    """Jaccard similarity |A & B| / |A | B| of two sets, each rising and without repeats."""
    both = np.concatenate([one, other])
    both.sort()
    shared = int(np.count_nonzero(both[1:] == both[:-1]))
    return shared / (len(both) - shared) if len(both) else 0.0


def _words(texts: Sequence[str]) -> tuple[Fingerprints, npt.NDArray[np.int64]]:
    """A hash of each word of all texts, and how many words each text has."""
    lowered = [text.lower() for text in texts]
    letters = np.frombuffer("".join(text + "\n" for text in lowered).encode("utf-32-le"), dtype="<u4")
    kinds = _kinds()[letters]
    part, alone = kinds == _PART, kinds == _ALONE
    first = part.copy()
    first[1:] &= ~part[:-1]
    last = part.copy()
    last[:-1] &= ~part[1:]
    starts, ends = np.flatnonzero(first | alone), np.flatnonzero(last | alone) + 1
    # The word of letters c at s, s + 1, ... is the sum of c_i F^(i - s), by differences of one running sum.
    powers, inverses = _powers(max(len(letters), 1).bit_length())
    sums = np.zeros(len(letters) + 1, dtype=np.uint64)
    np.cumsum(letters * powers[: len(letters)], out=sums[1:])
    words = mixed((sums[ends] - sums[starts]) * inverses[starts])
    borders = np.cumsum([len(text) + 1 for text in lowered])
    return words, np.diff(np.searchsorted(starts, borders), prepend=0)


@functools.cache
def _powers(bits: int) -> tuple[Fingerprints, Fingerprints]:
    """The powers of the factor up to 2^bits, and of its inverse, modulo 2^64."""
    made = []
    for base in (_FACTOR, pow(_FACTOR, -1, 2**64)):
        powers = np.full(2**bits, base, dtype=np.uint64)
        powers[0] = 1
        made.append(np.cumprod(powers, dtype=np.uint64))
    return made[0], made[1]


@functools.cache
def _kinds() -> npt.NDArray[np.uint8]:
    """Of every character: between words, a part of one, or a word by itself."""
    categories = (unicodedata.category(chr(code))[0] for code in range(sys.maxunicode + 1))
    kinds = np.array([_PART if category in "LNM" else _GAP for category in categories], dtype=np.uint8)
    kinds[ord("_")] = _PART
    for low, high in _UNSPACED:
        kinds[low : high + 1][kinds[low : high + 1] == _PART] = _ALONE
    return kinds
