"""How a text is cut into words, inside which pieces are learned: the pre-tokeniser. No piece reaches over a border.

A split joins by one row in `SPLITS`: a regular expression of which the matches are the words. Where they tile every text
nothing is lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from paribus.errors import RequestError, nearest


@dataclass(frozen=True)
class Split:
    """A way to cut text into words: the matches of `pattern`, in the syntax of the package `regex`."""

    name: str
    pattern: str
    summary: str
    loses: tuple[str, ...] = ()

    @cached_property
    def _compiled(self) -> Any:
        try:
            import regex
        except ImportError:
            raise RequestError(
                "cutting text into words takes the package regex: pip install 'paribus[tokenizers]'"
            ) from None
        return regex.compile(self.pattern)

    def words(self, text: str) -> list[str]:
        """The words of `text`, in order."""
        found: list[str] = self._compiled.findall(text)
        return found

    def pieces(self, text: str) -> Iterator[tuple[int, int]]:
        """Where each word begins and ends in `text`."""
        for match in self._compiled.finditer(text):
            yield match.span()


# Letters of words for the package regex, and none for the library tokenizers: written out, both cut alike.
_JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"
# In the patterns of GPT-2 and GPT-4 a blank belongs to the word after it, and the last of several does.
_BLANKS = r"\s+(?!\S)|\s+"
SPLITS: dict[str, Split] = {
    row.name: row
    for row in (
        Split(
            "gpt2",
            r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|" + _BLANKS,
            "letters, digits and signs apart, each with the blank before it (GPT-2)",
        ),
        Split(
            "gpt4",
            r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|"
            + _BLANKS,
            "as gpt2, with digits by threes at most and lines apart (GPT-4)",
        ),
        Split("words", r" ?\S+|" + _BLANKS, "what stands between blanks, with the blank before it"),
        Split("lines", r"[^\n]*\n|[^\n]+", "whole lines: pieces may hold blanks and several words"),
        Split("characters", r"[\s\S]", "every character by itself: nothing is merged"),
        Split("none", r"[\s\S]+", "the whole text at once"),
        Split(
            "bert",
            rf"(?:[^\W_]|[{_JOINERS}])+|[^\w\s{_JOINERS}]|_",
            "words and single signs, blanks thrown away (BERT)",
            ("blanks",),
        ),
    )
}


def get_split(name: str) -> Split:
    """The split called `name`. Raises `RequestError` for an unknown one."""
    if name not in SPLITS:
        raise RequestError(f"there is no split {name!r}: {nearest(name, SPLITS)}")
    return SPLITS[name]
