"""The segmentations of one word under piece scores: the best, the n best, and random ones.

Kudo, 2018 (arXiv:1804.10959): a segmentation has the probability of the product of its pieces'.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

import numpy as np


@dataclass(frozen=True, slots=True)
class Edge:
    """A piece of a word, from character `start` to `end`, with its log probability; `known` is false for the unknown."""

    start: int
    end: int
    text: str
    score: float
    known: bool


Score = Callable[[str], float | None]


def best_path(word: str, score: Score, *, longest: int, unknown_score: float) -> list[Edge]:
    """Viterbi: the segmentation of the largest score; of equals the one whose last piece is longer.

    `score(piece)` is None for what is no piece; a character that is none scores `unknown_score`. Sums are float32 from
    the left, as in SentencePiece, so that near ties fall as they do there. Takes memory for the characters of the word,
    not for all its pieces.
    """
    size = len(word)
    reached: list[np.float32] = [np.float32(0)] * (size + 1)
    came_from = [-1] * (size + 1)
    for start in range(size):
        here = reached[start]
        for end in range(start + 1, min(size, start + longest) + 1):
            found = score(word[start:end])
            if found is None:
                if end > start + 1:
                    continue
                found = unknown_score
            total = here + np.float32(found)
            if came_from[end] < 0 or total > reached[end]:
                reached[end], came_from[end] = total, start
    path: list[Edge] = []
    end = size
    while end:
        start = came_from[end]
        found = score(word[start:end])
        path.append(
            Edge(start, end, word[start:end], unknown_score if found is None else found, found is not None)
        )
        end = start
    return path[::-1]


class WordLattice:
    """All ways to cut `word` into pieces: `score(piece)` is None for what is no piece.

    A character that is no piece is an edge of `unknown_score`. `ending` [characters + 1] are the edges that end at each
    place, longest first.
    """

    def __init__(self, word: str, score: Score, *, longest: int, unknown_score: float) -> None:
        self.word = word
        self.ending: list[list[Edge]] = [[] for _ in range(len(word) + 1)]
        for start in range(len(word)):
            for end in range(start + 1, min(len(word), start + longest) + 1):
                text = word[start:end]
                found = score(text)
                if found is not None:
                    self.ending[end].append(Edge(start, end, text, found, True))
                elif end == start + 1:
                    self.ending[end].append(Edge(start, end, text, unknown_score, False))

    def n_best(self, number: int) -> list[tuple[float, list[Edge]]]:
        """The `number` segmentations of the largest scores, best first, with their scores."""
        turn = count()  # decides between equals, so that edges are never compared
        kept: list[list[tuple[float, int, Edge | None, int]]] = [[(0.0, next(turn), None, 0)]]
        for edges in self.ending[1:]:
            ways = (
                (before[0] + edge.score, -next(turn), edge, rank)
                for edge in edges
                for rank, before in enumerate(kept[edge.start])
            )
            kept.append(heapq.nlargest(number, ways, key=lambda way: way[:2]))
        return [(way[0], self._path(kept, rank)) for rank, way in enumerate(kept[-1])]

    def _path(self, kept: list[list[tuple[float, int, Edge | None, int]]], rank: int) -> list[Edge]:
        path: list[Edge] = []
        edge, rank = kept[-1][rank][2:]
        while edge is not None:
            path.append(edge)
            edge, rank = kept[edge.start][rank][2:]
        return path[::-1]

    def forward(self, alpha: float) -> list[float]:
        """[characters + 1]: log of the sum over all ways to each place of exp(alpha x their score)."""
        reached = [0.0]
        for edges in self.ending[1:]:
            reached.append(
                float(np.logaddexp.reduce([reached[edge.start] + alpha * edge.score for edge in edges]))
            )
        return reached

    def sample(self, alpha: float, rng: np.random.Generator) -> list[Edge]:
        """A segmentation with probability in proportion to exp(alpha x score): forward filtering, backward sampling."""
        reached = self.forward(alpha)
        path: list[Edge] = []
        place = len(self.word)
        while place:
            logs = np.array([reached[edge.start] + alpha * edge.score for edge in self.ending[place]])
            chances = np.exp(logs - reached[place])
            path.append(self.ending[place][rng.choice(len(chances), p=chances / chances.sum())])
            place = path[-1].start
        return path[::-1]
