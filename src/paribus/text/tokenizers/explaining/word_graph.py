"""The graph of dictionary words over a stretch of text: every word is an edge, the path of the highest sum is taken."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

from paribus.text.segmenting.graph import DictionaryGraph
from paribus.text.tokenizers.explaining.lattice import ScoredEdge


@dataclass(frozen=True)
class WordGraph:
    """The words of `text` with the logs of their shares of all counts (`known` is false for a character that is no word),
    and the best `path` with its `score`. Neighbours that are one letter or digit are joined after that.
    """

    text: str
    edges: tuple[ScoredEdge, ...]
    path: tuple[str, ...]
    score: float
    kind: str = field(default="words", init=False)


def word_graph(graph: DictionaryGraph, text: str) -> WordGraph:
    """The graph of `text`, and its best path from the right; of equal ones that with the longer word first."""
    edges = list(graph.edges(text))
    leaving: list[list[tuple[int, float]]] = [[] for _ in text]
    for start, end, score, _ in edges:
        leaving[start].append((end, score))
    best = [0.0] * (len(text) + 1)
    then = [0] * len(text)
    for start in reversed(range(len(text))):
        best[start], then[start] = max((score + best[end], end) for end, score in leaving[start])
    cuts = [0]
    while cuts[-1] < len(text):
        cuts.append(then[cuts[-1]])
    taken = set(itertools.pairwise(cuts))
    return WordGraph(
        text,
        tuple(
            ScoredEdge(start, end, text[start:end], score, known, (start, end) in taken)
            for start, end, score, known in edges
        ),
        tuple(text[start:end] for start, end in itertools.pairwise(cuts)),
        best[0],
    )
