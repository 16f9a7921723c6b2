"""Maximum matching: take the longest word that begins here, and go on behind it.

The baseline that counts nothing. A character that begins no word is a piece of its own.
Source: Liang 1987; the names of its forms are those of the Chinese segmentation literature.
"""

from __future__ import annotations

from typing import ClassVar

from paribus.text.segmenting.dictionary import Dictionary
from paribus.text.segmenting.runs import joined


class ForwardMatching:
    """The longest word from the left.

    With `join_letters` neighbouring pieces of one ASCII letter or digit are one piece, as in jieba, so that a number
    that is in no dictionary stays whole.
    """

    name: ClassVar[str] = "forward"

    def __init__(self, dictionary: Dictionary, *, join_letters: bool = True) -> None:
        self.dictionary, self.join_letters = dictionary, join_letters

    def segment(self, text: str) -> list[str]:
        pieces: list[str] = []
        for stretch, words in self.dictionary.blocks(text):
            pieces += _longest_first(stretch, self.dictionary) if words else stretch
        return joined(pieces) if self.join_letters else pieces


class BackwardMatching:
    """The longest word from the right: forward matching of everything reversed."""

    name: ClassVar[str] = "backward"

    def __init__(self, dictionary: Dictionary, *, join_letters: bool = True) -> None:
        self.dictionary, self.join_letters = dictionary, join_letters
        self._reversed = dictionary.reversed()

    def segment(self, text: str) -> list[str]:
        pieces: list[str] = []
        for stretch, words in self.dictionary.blocks(text):
            if words:
                pieces += (word[::-1] for word in reversed(_longest_first(stretch[::-1], self._reversed)))
            else:
                pieces += stretch
        return joined(pieces) if self.join_letters else pieces


class BidirectionalMatching:
    """Of the forward and the backward cut of a stretch the one with fewer pieces; then with fewer single characters; then
    the backward one.

    Stretches are those of `Dictionary.blocks`: between punctuation or white space.
    """

    name: ClassVar[str] = "bidirectional"

    def __init__(self, dictionary: Dictionary, *, join_letters: bool = True) -> None:
        self.dictionary, self.join_letters = dictionary, join_letters
        self._forward = ForwardMatching(dictionary, join_letters=join_letters)
        self._backward = BackwardMatching(dictionary, join_letters=join_letters)

    def segment(self, text: str) -> list[str]:
        pieces: list[str] = []
        for stretch, words in self.dictionary.blocks(text):
            if words:
                forward, backward = self._forward.segment(stretch), self._backward.segment(stretch)
                pieces += forward if _cost(forward) < _cost(backward) else backward
            else:
                pieces += stretch
        return pieces


def _cost(pieces: list[str]) -> tuple[int, int]:
    return len(pieces), sum(len(piece) == 1 for piece in pieces)


def _longest_first(text: str, dictionary: Dictionary) -> list[str]:
    prefixes, pieces, start, length = dictionary.prefixes, [], 0, len(text)
    while start < length:
        best, end = start + 1, start + 1
        while end <= length and (count := prefixes.get(text[start:end])) is not None:
            if count:
                best = end
            end += 1
        pieces.append(text[start:best])
        start = best
    return pieces
