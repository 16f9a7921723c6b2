"""A vocabulary of the most frequent segments of words, however these are cut; any other is written by its characters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paribus.errors import RequestError
from paribus.text.segmenting.files import content_of, segmenter_of
from paribus.text.segmenting.methods import Method as SegmenterMethod
from paribus.text.segmenting.methods import train_segmenter
from paribus.text.segmenting.protocol import Segmenter
from paribus.text.segmenting.segmented_text import read_segmented
from paribus.text.tokenizers.methods.base import Corpus, Method
from paribus.text.tokenizers.methods.coverage import COVERAGE, covered
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


@dataclass(frozen=True)
class Keeping:
    """How segmenters are kept: `content` as JSON, `weights` beside that, if any, and `restore(content, weights)`."""

    content: Callable[[Any], Mapping[str, Any]]
    restore: Callable[[Mapping[str, Any], bytes | None], Segmenter]
    weights: Callable[[Any], bytes | None] = lambda segmenter: None


_AS_JSON = Keeping(content_of, lambda content, weights: segmenter_of(dict(content), "the tokenizer"))


def segmented_method(row: SegmenterMethod, name: str, keeping: Keeping = _AS_JSON) -> Method:
    """The segmenter of `row` as a method of making tokenizers: its segments of words, the most frequent ones as pieces.

    What it learns from is given by its own options and, where it needs one, by the option `segmented`, the path of a
    text of one sentence a line whose words are divided by spaces.
    """

    def train(recipe: Recipe, corpus: Corpus, room: int) -> _Kept:
        given = {key: value for key, value in recipe.options.items() if key in row.options}
        path = recipe.options.get("segmented")
        if path is None and row.needs_text and given.get("words") is None:
            raise RequestError(
                f"{name} learns from {row.learns_from}: give the option segmented, a file of a sentence a line whose words "
                "are divided by spaces"
            )
        sentences = read_segmented(Path(str(path)).expanduser()) if path is not None else []
        segmenter = train_segmenter(row, sentences, **given)
        return _Kept(segmenter, train_segments(segmenter.segment, recipe, corpus, room).texts, keeping)

    def restore(state: Mapping[str, Any]) -> _Kept:
        return _Kept(keeping.restore(state["segmenter"], state.get("weights")), state["texts"], keeping)

    options = {**row.options, **({"segmented": None} if row.needs_text else {}), "coverage": COVERAGE}
    return Method(
        name=name,
        summary=f"{row.summary}; learns from {row.learns_from}",
        train=train,
        restore=restore,
        options=options,
    )


class _Kept(Segments):
    """Segments whose segmenter is kept with them."""

    def __init__(self, segmenter: Segmenter, texts: Iterable[str], keeping: Keeping) -> None:
        super().__init__(segmenter.segment, texts)
        self.segmenter, self._keeping = segmenter, keeping

    def state(self) -> dict[str, Any]:
        return {"segmenter": dict(self._keeping.content(self.segmenter)), "texts": list(self.texts)}

    def weights(self) -> bytes | None:
        return self._keeping.weights(self.segmenter)


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
