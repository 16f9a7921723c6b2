"""A vocabulary of the most frequent segments of words, however these are cut; any other is written by its characters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from paribus.errors import RequestError
from paribus.text.tokenizers.methods.base import Corpus
from paribus.text.tokenizers.methods.coverage import covered
from paribus.text.tokenizers.recipe import Recipe
from paribus.text.tokenizers.unicode import utf8

Segment = Callable[[str], list[str]]


class Segments:
    """`segment` cuts a word; a segment in `texts` is a token. `texts` have every character that a word may have."""

    def __init__(self, segment: Segment, texts: Iterable[str]) -> None:
        self.segment = segment
        self.texts: tuple[str, ...] = tuple(texts)
        self.pieces: tuple[bytes, ...] = tuple(map(utf8, self.texts))
        self._ids = {text: number for number, text in enumerate(self.texts)}

    def encode_word(self, word: str) -> list[int]:
        ids = self._ids
        out: list[int] = []
        for segment in self.segment(word):
            if (known := ids.get(segment)) is not None:
                out.append(known)
            else:
                out += map(ids.__getitem__, segment)
        return out

    def state(self) -> dict[str, Any]:
        return {"texts": list(self.texts)}


def train_segments(segment: Segment, recipe: Recipe, corpus: Corpus, room: int) -> Segments:
    """The characters that cover the text, then the segments that are most frequent; of equals the one that sorts first.

    Raises `RequestError` if there is no room for the characters.
    """
    words, alphabet = covered(corpus.words(recipe), recipe)
    if room < len(alphabet):
        raise RequestError(
            f"vocab_size {recipe.vocab_size:,} leaves {room:,} pieces, and the text has {len(alphabet):,} characters: "
            "give a larger one or a lower coverage"
        )
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for piece in segment(word):
            counts[piece] += count
    least = recipe.min_count or 1
    longer = [(-count, piece) for piece, count in counts.items() if len(piece) > 1 and count >= least]
    return Segments(segment, [*alphabet, *(piece for _, piece in sorted(longer)[: room - len(alphabet)])])
