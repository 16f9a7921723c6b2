"""The dictionary graph: every word of the text is an edge, and the path of the highest probability is taken.

A path's probability is the product of its words' shares of all counts; what stands in no word is a word of its own
that was counted once. Source: jieba's `calc` and `get_DAG`, whose arithmetic and ties are kept, so that the same
dictionary gives the same pieces.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from typing import ClassVar

from paribus.text.segmenting.dictionary import Dictionary
from paribus.text.segmenting.runs import joined


class DictionaryGraph:
    """The most probable path through the words of a dictionary; of equal ones that which takes the longer word first.

    With `join_letters` neighbouring pieces of one ASCII letter or digit are one piece, as in jieba.
    """

    name: ClassVar[str] = "dictionary"

    def __init__(self, dictionary: Dictionary, *, join_letters: bool = True) -> None:
        self.dictionary, self.join_letters = dictionary, join_letters
        self._log_share = dictionary.log_shares()
        self._unknown = math.log(1) - math.log(dictionary.total)

    def segment(self, text: str) -> list[str]:
        pieces: list[str] = []
        for stretch, words in self.dictionary.blocks(text):
            pieces += self.path(stretch) if words else stretch
        return joined(pieces) if self.join_letters else pieces

    def path(self, text: str) -> list[str]:
        """The pieces of one stretch, before letters are joined.

        best(i) = max over words text[i:j] of (ln share + best(j), j), from the right.
        """
        prefixes, log_share, unknown = self.dictionary.prefixes, self._log_share, self._unknown
        length = len(text)
        best = array("d", bytes(8 * (length + 1)))
        then = array("q", bytes(8 * (length + 1)))
        for start in range(length - 1, -1, -1):
            end = start + 1
            word = text[start]
            highest, chosen = log_share.get(word, unknown) + best[end], end
            while end < length and word in prefixes:
                end += 1
                word = text[start:end]
                share = log_share.get(word)
                # >= : of equal paths the longer word.
                if share is not None and (score := share + best[end]) >= highest:
                    highest, chosen = score, end
            best[start], then[start] = highest, chosen
        pieces = []
        start = 0
        while start < length:
            pieces.append(text[start : then[start]])
            start = then[start]
        return pieces

    def edges(self, text: str) -> Iterator[tuple[int, int, float, bool]]:
        """(start, end, ln share, whether it is a word) of all that a path of one stretch may take."""
        for start in range(len(text)):
            end = start + 1
            share = self._log_share.get(text[start:end])
            yield start, end, self._unknown if share is None else share, share is not None
            while end < len(text) and text[start:end] in self.dictionary.prefixes:
                end += 1
                if (share := self._log_share.get(text[start:end])) is not None:
                    yield start, end, share, True
