"""Characters that a vocabulary lacks: written as their bytes, or as one token for all of them.

Methods whose alphabet is characters are wrapped in this; those over bytes lack none.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from paribus.text.tokenizers.model import Model
from paribus.text.tokenizers.unicode import utf8


class Fallback:
    """A model of characters with ids before its own for the characters that it lacks.

    With `unknown` "bytes" these are 256, one for each byte; with "token" it is one that stands for no text. `known` are
    the characters that the inner model can write; a word is cut where one is unknown.
    """

    def __init__(self, inner: Model, *, unknown: str, known: Collection[str]) -> None:
        self.inner, self.unknown = inner, unknown
        before = [bytes((value,)) for value in range(256)] if unknown == "bytes" else [b""]
        self._before = len(before)
        self._known = frozenset(known)
        self.pieces: tuple[bytes, ...] = (*before, *inner.pieces)

    def encode_word(self, word: str) -> list[int]:
        return self.cut(word, self.inner.encode_word)

    def cut(self, word: str, encode: Callable[[str], list[int]]) -> list[int]:
        """Ids of `word`, where `encode` gives those of the inner model for what it knows."""
        if self._known.issuperset(word):
            return self._whole(word, encode)
        ids: list[int] = []
        for text, known in self.runs(word):
            ids += self._whole(text, encode) if known else self._unknown(text)
        return ids

    def runs(self, word: str) -> Iterator[tuple[str, bool]]:
        """The stretches of `word` of characters that are known, and of those that are not."""
        for known, run in itertools.groupby(word, self._known.__contains__):
            yield "".join(run), known

    def state(self) -> Mapping[str, Any]:
        return self.inner.state()

    def _whole(self, word: str, encode: Callable[[str], list[int]]) -> list[int]:
        ids = encode(word)
        pieces = self.inner.pieces
        if any(
            not pieces[number] for number in ids
        ):  # its own unknown token: known characters in an unknown place
            return self._unknown(word)
        return [number + self._before for number in ids]

    def _unknown(self, run: str) -> list[int]:
        return list(utf8(run)) if self.unknown == "bytes" else [0] * len(run)


def characters(pieces: Sequence[bytes]) -> frozenset[str]:
    """The characters that are a piece by themselves."""
    return frozenset(text for piece in pieces if len(text := piece.decode("utf-8", "replace")) == 1)
