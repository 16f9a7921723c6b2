"""Hangul syllables are arithmetic: each is made of a lead, a vowel and perhaps a tail, and its number says which.

syllable = 0xAC00 + (lead * 21 + vowel) * 28 + tail. Source: The Unicode Standard, section 3.12.
"""

from __future__ import annotations

import re

_SYLLABLE, _LEAD, _VOWEL, _TAIL = 0xAC00, 0x1100, 0x1161, 0x11A7  # tail 0 is none
_VOWELS, _TAILS = 21, 28
_SYLLABLES = re.compile("[\uac00-\ud7a3]")
_JAMO = re.compile("([\u1100-\u1112])([\u1161-\u1175])([\u11a8-\u11c2]?)|([\uac00-\ud7a3])([\u11a8-\u11c2])")


def to_jamo(text: str) -> str:
    """`text` with every Hangul syllable written as its two or three conjoining jamo, all else as it is."""
    return _SYLLABLES.sub(lambda found: _apart(found[0]), text)


def from_jamo(text: str) -> str:
    """`text` with every sequence of modern jamo that is a syllable written as that: undoes `to_jamo`."""
    return _JAMO.sub(_together, text)


def _apart(syllable: str) -> str:
    rest, tail = divmod(ord(syllable) - _SYLLABLE, _TAILS)
    lead, vowel = divmod(rest, _VOWELS)
    return chr(_LEAD + lead) + chr(_VOWEL + vowel) + (chr(_TAIL + tail) if tail else "")


def _together(found: re.Match[str]) -> str:
    lead, vowel, tail, open_syllable, its_tail = found.groups()
    if open_syllable:
        closed = (ord(open_syllable) - _SYLLABLE) % _TAILS
        return found[0] if closed else chr(ord(open_syllable) + ord(its_tail) - _TAIL)
    number = ((ord(lead) - _LEAD) * _VOWELS + ord(vowel) - _VOWEL) * _TAILS
    return chr(_SYLLABLE + number + (ord(tail) - _TAIL if tail else 0))
