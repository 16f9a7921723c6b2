"""Syllables of a Latin word by maximal onset: between two nuclei, as many consonants go to the second as may begin.

An approximation from spelling, not from sound: no dictionary of exceptions, no morphology (a German compound is cut as
if it were one stem). It is not hyphenation either, whose rules are typographers' own. What holds always: the pieces
join to the word, and each has a nucleus unless the word has none.
Source: Kahn 1976, Syllable-based Generalizations in English Phonology, for the principle.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import TypeVar

from paribus.errors import RequestError, nearest
from paribus.text.segmenting.syllables.languages import LANGUAGES

_Letters = TypeVar("_Letters", str, list[str])
_LETTER = re.compile("[^\u0300-\u036f][\u0300-\u036f]*|[\u0300-\u036f]+")


class MaximalOnset:
    """Syllables of words of one language. Raises `RequestError` for a language there is no table of.

    >>> MaximalOnset("es").syllables("construir")
    ['cons', 'truir']
    """

    def __init__(self, language: str) -> None:
        if language not in LANGUAGES:
            raise RequestError(
                f"there is no table of syllables for the language {language!r}; {nearest(language, LANGUAGES)}"
            )
        self.language = LANGUAGES[language]
        table = self.language
        self._scan = re.compile(
            f"(?P<silent>{table.silent})|(?P<consonant>{table.consonants})|(?P<nucleus>{table.nuclei})|(?P<other>.)",
            re.DOTALL,
        )
        self._longest = max(map(len, table.onsets))

    def syllables(self, word: str) -> list[str]:
        """The syllables of one word, letters with their combining marks. Time is linear in its length."""
        if word.isascii():
            return _between(self._cuts(word.lower()), word)
        letters = [found[0] for found in _LETTER.finditer(word)]
        spelled = "".join(_key(letter, self.language.accents) for letter in letters)
        return ["".join(each) for each in _between(self._cuts(spelled), letters)]

    def _cuts(self, spelled: str) -> list[int]:
        """Where a syllable begins, but for the first."""
        cuts: list[int] = []
        cluster: list[int] | None = (
            None  # where the consonants behind the last nucleus begin; None before the first
        )
        for unit in self._scan.finditer(spelled):
            if unit.lastgroup != "nucleus":
                if cluster is not None:
                    cluster.append(unit.start())
                continue
            if cluster is not None:
                starts = (at for at in cluster if unit.start() - at <= self._longest)
                onset = next(
                    (at for at in starts if spelled[at : unit.start()] in self.language.onsets), unit.start()
                )
                cuts.append(onset)
            cluster = []
        return cuts


@lru_cache(maxsize=4096)
def _key(letter: str, accents: str) -> str:
    """One lower-case character for a letter: with an accent only if the language tells it from the plain one."""
    composed = unicodedata.normalize("NFC", letter)[0].lower()[0]
    return composed if composed in accents else unicodedata.normalize("NFD", composed)[0]


def _between(cuts: list[int], letters: _Letters) -> list[_Letters]:
    return [letters[start:end] for start, end in zip([0, *cuts], [*cuts, len(letters)], strict=True)]
