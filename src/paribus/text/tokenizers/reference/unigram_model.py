"""Unigram pieces with their scores: encoding one word, the n best ways, and random ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from paribus.errors import RequestError
from paribus.text.tokenizers.reference.paths import Edge, WordLattice, best_path
from paribus.text.tokenizers.reference.scored_pieces import ScoredPieces
from paribus.text.tokenizers.reference.sentencepiece_text import ids_of

UNKNOWN_PENALTY = 10.0  # an unknown character scores this much below the lowest piece


@dataclass(frozen=True, slots=True)
class Pruned:
    """A piece that was dropped: its score, how often the best segmentations used it, and its `loss`.

    With f of F uses in all and parts that occur f_a times, the loss is what the log likelihood of a token would fall by,
    were the piece always its k parts: (f / F) (log(f / F) - sum_a log((f_a + f) / (F + f (k - 1)))).
    """

    piece: str
    score: float
    used: int
    loss: float


@dataclass(frozen=True, slots=True)
class Round:
    """One round of training: pieces after each step of EM, negative log likelihood of a word (nats) in the last of
    them, pieces after pruning, and what was dropped if the trace was asked for.
    """

    fitted: tuple[int, ...]
    objective: float
    kept: int
    pruned: tuple[Pruned, ...]


@dataclass(frozen=True)
class Unigram(ScoredPieces):
    """Special tokens, then pieces by their log probabilities downwards. `seeds` is how many pieces training began with,
    `rounds` its trace.
    """

    seeds: int = 0
    rounds: tuple[Round, ...] = ()

    def lattice(self, word: str) -> WordLattice:
        """All ways to cut `word`, written with U+2581 for a space, into pieces."""
        return WordLattice(word, self._score, longest=self._longest, unknown_score=self._unknown_score)

    def encode_word(self, word: str) -> list[int]:
        """Ids of the segmentation of the largest score (Viterbi); a run of unknown characters is one unknown token."""
        return self._numbered(self.best_path(word))

    def best_path(self, word: str) -> list[Edge]:
        """The segmentation of the largest score."""
        return best_path(word, self._score, longest=self._longest, unknown_score=self._unknown_score)

    def n_best(self, word: str, number: int) -> list[tuple[float, list[int]]]:
        """The `number` segmentations of the largest scores, best first: (score, ids)."""
        if number < 1:
            raise RequestError(f"{number} segmentations cannot be given; the least is 1")
        return [(score, self._numbered(path)) for score, path in self.lattice(word).n_best(number)]

    def sample_word(
        self, word: str, *, alpha: float, rng: np.random.Generator, n_best: int | None = None
    ) -> list[int]:
        """Ids of a random segmentation: subword regularisation (arXiv:1804.10959).

        It is drawn with probability in proportion to P^alpha, from all segmentations, or from the `n_best` best. An
        alpha of 0 draws evenly, a large one gives the best. Raises `RequestError` for a negative alpha.
        """
        if not alpha >= 0:
            raise RequestError(f"alpha is {alpha}; the least is 0, which draws evenly")
        if n_best is None:
            return self._numbered(self.lattice(word).sample(alpha, rng))
        found = self.n_best(word, n_best)
        logs = alpha * np.array([score for score, _ in found])
        chances = np.exp(logs - logs.max())
        return found[rng.choice(len(found), p=chances / chances.sum())][1]

    def _score(self, piece: str) -> float | None:
        number = self._ids.get(piece)
        return None if number is None else self.scores[number]

    @cached_property
    def _unknown_score(self) -> float:
        return min(self.scores[len(self.specials) :]) - UNKNOWN_PENALTY

    @cached_property
    def _longest(self) -> int:
        return max(map(len, self.tokens))

    def _numbered(self, path: list[Edge]) -> list[int]:
        return ids_of([edge.text for edge in path], self._ids, self.unknown)
