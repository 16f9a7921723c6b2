"""The dictionary graph, and a hidden Markov model for the runs of single characters that it leaves: jieba's way.

What the dictionary knows is taken as in `graph.py`. Several neighbours that stayed single are perhaps a word that it
does not know, and are cut by the model.
"""

from __future__ import annotations

import re
from typing import ClassVar

from paribus.text.segmenting.dictionary import Dictionary
from paribus.text.segmenting.graph import DictionaryGraph
from paribus.text.segmenting.hmm import HiddenMarkov

_CHINESE = re.compile("([\u4e00-\u9fd5]+)")
_NUMBERS = re.compile(r"([a-zA-Z0-9]+(?:\.\d+)?%?)")


class DictionaryHmmSegmenter:
    """The best path through the dictionary graph, with runs of single characters cut again.

    A run that is itself in the dictionary stays in single characters. In others, Chinese characters (U+4E00 to
    U+9FD5) are cut by the model, ASCII letters and digits stay together as names and numbers (`3.14`, `50%`), and
    what stands between them is a piece. Gives the pieces of `jieba.cut` with jieba's tables, in linear time.
    """

    name: ClassVar[str] = "dictionary_hmm"

    def __init__(self, dictionary: Dictionary, model: HiddenMarkov) -> None:
        self.dictionary, self.model = dictionary, model
        self.graph = DictionaryGraph(dictionary)

    def segment(self, text: str) -> list[str]:
        pieces: list[str] = []
        for stretch, words in self.dictionary.blocks(text):
            pieces += self._recut(self.graph.path(stretch)) if words else stretch
        return pieces

    def _recut(self, path: list[str]) -> list[str]:
        pieces: list[str] = []
        singles: list[str] = []
        for word in (*path, ""):
            if len(word) == 1:
                singles.append(word)
                continue
            if singles:
                pieces += self._run("".join(singles))
                singles = []
            if word:
                pieces.append(word)
        return pieces

    def parts(self, run: str) -> list[tuple[str, bool]]:
        """The parts of a run of single characters, and for each whether the model cuts it further."""
        if len(run) == 1 or run in self.dictionary.counts:
            return [(letter, False) for letter in run]
        found: list[tuple[str, bool]] = []
        for number, stretch in enumerate(_CHINESE.split(run)):
            if number % 2:
                found.append((stretch, True))
            else:
                found += ((part, False) for part in _NUMBERS.split(stretch) if part)
        return found

    def _run(self, run: str) -> list[str]:
        pieces: list[str] = []
        for part, tagged in self.parts(run):
            pieces += self.model.words(part) if tagged else [part]
        return pieces
