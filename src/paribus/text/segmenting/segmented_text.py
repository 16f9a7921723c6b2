"""Text that somebody has cut into words: what segmenters are trained on and scored by.

A sentence is a tuple of words; its text is the words joined with nothing between, as Chinese, Japanese and Thai are
written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeAlias

from paribus.errors import RequestError, shown
from paribus.files.opening import bytes_of

Sentence: TypeAlias = tuple[str, ...]

_MOST_BYTES = 2**30


def sentences_of(lines: Iterable[str]) -> list[Sentence]:
    """A sentence for each line that has words: what stands between white space. Raises `RequestError` if none has."""
    sentences = [words for line in lines if (words := tuple(line.split()))]
    if not sentences:
        raise RequestError(
            "there is no segmented text: a sentence a line is expected, its words divided by spaces"
        )
    return sentences


def read_segmented(path: Path) -> list[Sentence]:
    """The sentences of a UTF-8 file of at most 1 GiB, one a line.

    Raises `RequestError` if it is no file, cannot be read or holds no words.
    """
    try:
        text = bytes_of(path, "segmented text", at_most=_MOST_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RequestError(f"{shown(path)} is not UTF-8 text: byte {error.start:,} is wrong") from error
    # Not splitlines(): U+2028 and form feeds are white space inside a line, not ends of one.
    try:
        return sentences_of(text.split("\n"))
    except RequestError as error:
        raise RequestError(f"in {shown(path)} {error}") from None


def word_counts(sentences: Iterable[Sequence[str]]) -> Counter[str]:
    """How often each word stands in the sentences, in the order in which they first appear."""
    return Counter(word for sentence in sentences for word in sentence)
