"""One segmenter for the syllables of all scripts it knows; what is no syllable is left in runs."""

from __future__ import annotations

import re
from typing import ClassVar

from paribus.text.segmenting.syllables.hangul import from_jamo
from paribus.text.segmenting.syllables.latin import MaximalOnset
from paribus.text.segmenting.syllables.pinyin import pinyin

_HAN = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_LATIN = "A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u1e00-\u1eff"
_WORD = f"[{_LATIN}][{_LATIN}\u0300-\u036f]*"
_PARTS = re.compile(
    rf"(?P<latin>{_WORD}(?:['\u2019]{_WORD})*)"
    "|(?P<hangul>[\uac00-\ud7a3][\u11a8-\u11c2]*|[\u1100-\u115f]+[\u1160-\u11a7]*[\u11a8-\u11ff]*)"
    rf"|(?P<han>[{_HAN}])"
    r"|(?P<space>\s+)|(?P<digits>\d+)|(?P<other>.)",
    re.DOTALL,
)
_RUNS = re.compile(f"([{_HAN}]+)")


class SyllableSegmenter:
    """Syllables: of Latin words by the maximal onsets of `language`, of Hangul and Chinese one a character.

    `language` is en, es, it or de. White space and digits are kept in runs, and every other character is a piece. See
    `latin.py` for what is and is not promised of Latin words.
    """

    name: ClassVar[str] = "syllable"

    def __init__(self, *, language: str = "en") -> None:
        self.language = language
        self._latin = MaximalOnset(language)

    def segment(self, text: str) -> list[str]:
        pieces: list[str] = []
        for part in _PARTS.finditer(text):
            pieces += self._latin.syllables(part[0]) if part.lastgroup == "latin" else [part[0]]
        return pieces

    def readings(self, text: str) -> list[tuple[str, str | None]]:
        """The pieces, each Chinese character with its pinyin, jamo with the Hangul syllable they are; others with None.

        Raises `RequestError` if there are Chinese characters and no pypinyin.
        """
        found: list[tuple[str, str | None]] = []
        for number, run in enumerate(_RUNS.split(text)):
            if number % 2:
                found += zip(run, pinyin(run), strict=True)
            else:
                found += ((piece, _as_syllable(piece)) for piece in self.segment(run))
        return found


def _as_syllable(piece: str) -> str | None:
    together = from_jamo(piece)
    return together if together != piece else None
