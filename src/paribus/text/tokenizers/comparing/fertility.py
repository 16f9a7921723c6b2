"""Tokens to a word, each word where it stands in its text.

A word given by itself is encoded otherwise than in a text, so whole documents are encoded and tokens given to words by
the bytes that they stand for. Words are those of one split for all tokenizers, without the blanks around them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from paribus.text.tokenizers.protocol import TokenArray, Tokenizer
from paribus.text.tokenizers.splits import Split
from paribus.text.tokenizers.trained import TrainedTokenizer

Ints = npt.NDArray[np.int64]


@dataclass
class Fertility:
    """Sums over documents. A token counts for every word that it has bytes of."""

    words: int = 0
    tokens: int = 0
    of_one: int = 0

    def add(self, tokens_of_words: Ints) -> None:
        """Count words by how many tokens each takes."""
        self.words += len(tokens_of_words)
        self.tokens += int(tokens_of_words.sum())
        self.of_one += int((tokens_of_words == 1).sum())


def tokens_of_words(tokenizer: Tokenizer, text: str, ids: TokenArray, split: Split) -> Ints | None:
    """[words]: tokens of `ids` that have bytes of each word of `text`.

    Where ids do not stand for all bytes of the text, one at a time, the words are those of the tokenizer itself if it
    was trained here, and None is returned if not: nobody can say then which token belongs to which word.
    """
    lengths = tokenizer.byte_lengths[np.asarray(ids, dtype=np.int64)]
    lengths[:1] += tokenizer.byte_lengths[tokenizer.end_of_document]  # what was put before the text
    if int(lengths.sum()) == len(text.encode()):
        ends = np.cumsum(lengths)
        first, last = _word_bytes(text, split)
        return np.searchsorted(ends - lengths, last, side="left") - np.searchsorted(ends, first, side="right")
    if isinstance(tokenizer, TrainedTokenizer):
        counts = [len(found) for word, found in tokenizer.words(text) if not word.isspace()]
        return np.array(counts, dtype=np.int64)
    return None


def _word_bytes(text: str, split: Split) -> tuple[Ints, Ints]:
    """First byte, and the one after the last, of every word that is not blank."""
    spans = []
    for start, end in split.pieces(text):
        word = text[start:end]
        if not word.isspace():
            spans.append((start + len(word) - len(word.lstrip()), end - (len(word) - len(word.rstrip()))))
    borders = np.array(spans, dtype=np.int64).reshape(-1, 2)
    if not text.isascii():
        letters = np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
        sizes = 1 + (letters >= 0x80).astype(np.int64) + (letters >= 0x800) + (letters >= 0x10000)
        borders = np.concatenate([[0], np.cumsum(sizes)])[borders]
    return borders[:, 0], borders[:, 1]
