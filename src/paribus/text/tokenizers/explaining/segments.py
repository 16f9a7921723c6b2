"""How a word is cut into segments, and which of these are tokens; the tables behind a hidden Markov model or a dictionary."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from paribus.text.segmenting.dictionary import Dictionary
from paribus.text.segmenting.dictionary_hmm import DictionaryHmmSegmenter
from paribus.text.segmenting.graph import DictionaryGraph
from paribus.text.segmenting.hmm import HmmSegmenter
from paribus.text.tokenizers.explaining.tagging import Tagging, tagging
from paribus.text.tokenizers.explaining.word_graph import WordGraph, word_graph
from paribus.text.tokenizers.methods.segments import Segments
from paribus.text.tokenizers.unicode import utf8

Reason: TypeAlias = Tagging | WordGraph


@dataclass(frozen=True)
class Segment:
    """A segment; one that is no `token` is written by its characters."""

    text: str
    token: bool


@dataclass(frozen=True)
class Segmented:
    """The segments of a word, and the tables that they come from, if the segmenter has any."""

    segments: tuple[Segment, ...]
    reasons: tuple[Reason, ...]
    kind: str = field(default="segments", init=False)


def segmented(model: Segments, word: str) -> Segmented:
    """The segments of `word` as the model's segmenter cuts it."""
    tokens = frozenset(model.pieces)
    return Segmented(
        tuple(Segment(text, utf8(text) in tokens) for text in model.segment(word)),
        tuple(_reasons(getattr(model, "segmenter", None), word)),
    )


def _reasons(segmenter: object, word: str) -> Iterator[Reason]:
    if isinstance(segmenter, HmmSegmenter):
        yield from (tagging(segmenter.model, stretch) for stretch in word.split())
    elif isinstance(segmenter, DictionaryGraph):
        yield from (word_graph(segmenter, stretch) for stretch in _stretches(segmenter.dictionary, word))
    elif isinstance(segmenter, DictionaryHmmSegmenter):
        for stretch in _stretches(segmenter.dictionary, word):
            graph = word_graph(segmenter.graph, stretch)
            yield graph
            for single, run in itertools.groupby(graph.path, lambda piece: len(piece) == 1):
                if single:
                    yield from (
                        tagging(segmenter.model, part)
                        for part, tagged in segmenter.parts("".join(run))
                        if tagged
                    )


def _stretches(dictionary: Dictionary, word: str) -> list[str]:
    return [stretch for stretch, words in dictionary.blocks(word) if words]
