"""Words with their counts, and the table of their prefixes that lets a search stop early.

Which path through the words of a text is taken belongs in `matching.py` and `graph.py`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from paribus.errors import RequestError, shown
from paribus.text.segmenting.segmented_text import word_counts

#: A search tries every length up to that of the longest word at every place of a text.
LONGEST_WORD = 64
_MOST_BYTES = 256 * 2**20
_MOST_COUNT = 2**53
#: What jieba holds together: Chinese characters, ASCII letters and digits, and the signs that stand in names.
BASE_BLOCK = "\u4e00-\u9fd5a-zA-Z0-9+#&._%\\-"


class Dictionary:
    """Words and their counts. `counts` is not to be changed afterwards.

    `prefixes` maps every word to its count, and every beginning of one that is no word to 0. Raises `RequestError` for
    an empty dictionary, empty words, words of more than 64 characters and counts outside [1, 2^53].
    """

    def __init__(self, counts: Mapping[str, int]) -> None:
        if not counts:
            raise RequestError("the dictionary has no words")
        for word, count in counts.items():
            check_word(word, count)
        self.counts = dict(counts)
        self.total = sum(self.counts.values())
        self.longest = max(map(len, self.counts))
        self.prefixes = dict(self.counts)
        for word in self.counts:
            for end in range(1, len(word)):
                self.prefixes.setdefault(word[:end], 0)
        self._block = re.compile(f"([{BASE_BLOCK}{_inside(self.counts)}]+)")

    def blocks(self, text: str) -> Iterator[tuple[str, bool]]:
        """`text` in stretches, and for each whether words may lie in it.

        Stretches of what stands in no word of several characters and is not in `BASE_BLOCK`, mostly punctuation and
        white space, divide the others: no word reaches over them.
        """
        for number, stretch in enumerate(self._block.split(text)):
            if stretch:
                yield stretch, number % 2 == 1

    def reversed(self) -> Dictionary:
        """The same words, each from its end to its beginning."""
        return Dictionary({word[::-1]: count for word, count in self.counts.items()})

    @classmethod
    def learned(cls, sentences: Iterable[Sequence[str]], *, min_count: int = 1) -> Dictionary:
        """The words of segmented text that stand there at least `min_count` times.

        Words of more than 64 characters (addresses, mostly) are left out.
        """
        counts = word_counts(sentences)
        kept = {
            word: count for word, count in counts.items() if count >= min_count and len(word) <= LONGEST_WORD
        }
        if not kept:
            raise RequestError(f"no word stands in the segmented text {min_count:,} times or more")
        return cls(kept)

    @classmethod
    def read(cls, path: Path) -> Dictionary:
        """A word list in jieba's format: `word count` or `word count tag` a line, in UTF-8.

        A word that is given twice has the sum of its counts. Raises `RequestError` with the line for what is none.
        """
        counts: dict[str, int] = {}
        for number, line in enumerate(_text(path).split("\n"), 1):
            if not (fields := line.split()):
                continue
            # Longer digits only cost time, and no count has so many.
            if not (2 <= len(fields) <= 3 and fields[1].isdecimal() and len(fields[1]) <= 16):
                raise RequestError(
                    f"line {number:,} of {shown(path)} is not a word, its count and perhaps a tag: "
                    f"{shown(line, at_most=60)!r}"
                )
            word, count = fields[0], int(fields[1])
            try:
                check_word(word, count)
            except RequestError as error:
                raise RequestError(f"in line {number:,} of {shown(path)} {error}") from None
            counts[word] = counts.get(word, 0) + count
        if not counts:
            raise RequestError(f"{shown(path)} holds no words")
        return cls(counts)

    def write(self, path: Path) -> None:
        """Write the words in jieba's format, in their own order. Raises `RequestError` for a word that has no place there."""
        for word in self.counts:
            if word.split() != [word] or not word.isprintable():
                raise RequestError(
                    f"the word {shown(word, at_most=60)!r} cannot stand in a list of words and counts"
                )
        path.write_text("".join(f"{word} {count}\n" for word, count in self.counts.items()), "utf-8")

    def log_shares(self) -> dict[str, float]:
        """ln(count / total) of every word, computed as jieba does: ln(count) - ln(total)."""
        of_all = math.log(self.total)
        return {word: math.log(count) - of_all for word, count in self.counts.items()}


def check_word(word: str, count: int) -> None:
    """Raise `RequestError` for what no dictionary takes."""
    if not 1 <= len(word) <= LONGEST_WORD:
        raise RequestError(
            f"a word has 1 to {LONGEST_WORD} characters; {shown(word, at_most=40)!r} has {len(word):,}"
        )
    if not 1 <= count <= _MOST_COUNT:
        raise RequestError(
            f"a word's count is from 1 to 2^53; that of {shown(word)!r} is {shown(count, at_most=40)}"
        )


def _inside(words: Iterable[str]) -> str:
    """The characters of words of several, for a class of a regular expression."""
    return "".join(
        re.escape(letter) for letter in sorted({letter for word in words if len(word) > 1 for letter in word})
    )


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise RequestError(
                f"{shown(path)} has {path.stat().st_size:,} bytes, more than a word list takes"
            )
        return path.read_text("utf-8-sig")
    except OSError as error:
        raise RequestError(f"{shown(path)} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise RequestError(f"{shown(path)} is not UTF-8 text: byte {error.start:,} is wrong") from error
