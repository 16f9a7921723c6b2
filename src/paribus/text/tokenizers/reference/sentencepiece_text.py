"""How SentencePiece 0.2.3 cuts text before it trains, and which strings it takes for pieces: shared by its two methods.

Its rules "identity" normaliser, spaces as the prefix of words; other normalisers are applied to the lines before.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from paribus.text.tokenizers.unicode import utf8

SPACE = "\u2581"  # stands for a space, at the start of words
BOUNDARY = "\u001f"  # no piece crosses it
RESERVED = "\u2585"  # stands for rare characters inside SentencePiece; lines that have it are skipped
SPECIALS = ("<unk>", "<s>", "</s>")

#: A word at the end of a line, and the first character of the next line.
LineEnd: TypeAlias = tuple[str, str]


@dataclass(frozen=True)
class PieceRules:
    """Which strings may be pieces: at most `longest` characters, a space only in front, no boundary inside.

    With `script`, which names the script of a character ("" for one that takes the script before it, as a combining
    mark does), a piece has characters of one script; Hiragana, Katakana and Han are one, and digits are their own
    "Common" unless `split_by_number` is false, when they go with any.
    """

    longest: int = 16
    script: Callable[[str], str] | None = None
    split_by_number: bool = True

    def allow(self, piece: str) -> bool:
        if not 0 < len(piece) <= self.longest or piece.rfind(SPACE) > 0:
            return False
        if not _FORBIDDEN.isdisjoint(piece):
            return False
        return self.script is None or self._is_one_script(piece)

    def _is_one_script(self, piece: str) -> bool:
        assert self.script is not None
        before = ""
        for character in piece.removeprefix(SPACE):
            name = "Han" if character == "\u30fc" else self.script(character)
            name = "Han" if name in ("Hiragana", "Katakana") else name or before
            if not self.split_by_number and (character in "0123456789" or "\uff10" <= character <= "\uff19"):
                name = ""
            if name and before and name != before:
                return False
            before = name
        return True


_FORBIDDEN = frozenset({RESERVED, BOUNDARY, "\0", " "})


def sentences(
    lines: Iterable[str],
    *,
    dummy_prefix: bool = True,
    longest: int = 4192,
    specials: Iterable[str] = SPECIALS,
) -> list[str]:
    """The lines as SentencePiece trains on them.

    Lines of more than `longest` bytes are skipped; runs of spaces become one, those at the ends none; a space is
    written U+2581 and put before the line (`dummy_prefix`); names of special tokens become a boundary. Raises
    `RequestError` for a lone surrogate.
    """
    names = re.compile("|".join(map(re.escape, sorted(specials, key=len, reverse=True))))
    found = []
    for line in lines:
        if not line or len(utf8(line)) > longest or RESERVED in line:
            continue
        text = re.sub(" +", SPACE, line.strip(" "))
        if text:
            found.append(names.sub(BOUNDARY, (SPACE if dummy_prefix else "") + text))
    return found


def sentencepiece_words(found: Iterable[str]) -> dict[str, int]:
    """The words of `sentences` and their counts: each starts at a U+2581."""
    counts: Counter[str] = Counter()
    for sentence in found:
        counts.update(re.findall(f"{SPACE}[^{SPACE}]*|[^{SPACE}]+", sentence))
    return dict(counts)


def sentencepiece_line_ends(found: Iterable[str] | Mapping[str, int]) -> dict[LineEnd, int]:
    """How often a word ends one of `sentences`, by the character that begins the next one, "" after the last.

    A mapping gives sentences that stand so many times in a row, as the library has those that come with counts.
    """
    rows = found.items() if isinstance(found, Mapping) else ((sentence, 1) for sentence in found)
    counts: Counter[LineEnd] = Counter()
    for (sentence, times), (after, _) in itertools.pairwise([*rows, ("", 0)]):
        word = sentence[max(0, sentence.rfind(SPACE)) :]
        counts[word, sentence[0]] += times - 1
        counts[word, after[:1]] += 1
    return dict(+counts)


def required_characters(words: Mapping[str, int], coverage: float) -> list[str]:
    """The most frequent characters that make up `coverage` of the text, by count downwards and code point."""
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for character in word:
            counts[character] += count
    total, so_far = sum(counts.values()), 0
    found = []
    for character in sorted(counts, key=lambda each: (-counts[each], each)):
        if np.float32(so_far / total) >= np.float32(coverage):
            break
        so_far += counts[character]
        if character not in (BOUNDARY, "\0"):
            found.append(character)
    return found


def shown_bytes(piece: str) -> bytes:
    """The text that a piece stands for, as UTF-8."""
    return piece.replace(SPACE, " ").encode()


def ids_of(parts: Sequence[str], ids: Mapping[str, int], unknown: int) -> list[int]:
    """Ids of the parts of a word, a run of unknown ones as one."""
    found: list[int] = []
    for part in parts:
        number = ids.get(part, unknown)
        if number != unknown or not found or found[-1] != unknown:
            found.append(number)
    return found
