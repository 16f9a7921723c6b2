"""All ways to write a word in scored pieces: the edges, the best path and the next best."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from paribus.text.tokenizers.reference.unigram_model import Unigram


@dataclass(frozen=True)
class ScoredEdge:
    """A piece from character `start` to `end` with its log probability. `known` is false for a character that is no piece,
    `best` says whether the best path takes it.
    """

    start: int
    end: int
    piece: str
    score: float
    known: bool
    best: bool


@dataclass(frozen=True)
class Path:
    """A way to write the word, with the sum of the scores."""

    score: float
    pieces: tuple[str, ...]


@dataclass(frozen=True)
class Lattice:
    """The lattice of `word`. `best` is what the tokenizer takes; `n_best` are the ways of the highest scores."""

    word: str
    edges: tuple[ScoredEdge, ...]
    best: Path
    n_best: tuple[Path, ...]
    kind: str = field(default="lattice", init=False)


def lattice(trained: Unigram, word: str, n_best: int, write: Callable[[str], str] = str) -> Lattice:
    """The lattice of `word` as the pieces are written, each of which is shown by `write`."""
    best = trained.best_path(word)
    taken = {(edge.start, edge.end) for edge in best}
    found = trained.lattice(word)
    edges = sorted(
        (edge for ending in found.ending for edge in ending), key=lambda edge: (edge.start, edge.end)
    )
    return Lattice(
        word=write(word),
        edges=tuple(
            ScoredEdge(
                edge.start,
                edge.end,
                write(edge.text),
                edge.score,
                edge.known,
                (edge.start, edge.end) in taken,
            )
            for edge in edges
        ),
        best=Path(sum(edge.score for edge in best), tuple(write(edge.text) for edge in best)),
        n_best=tuple(
            Path(score, tuple(write(edge.text) for edge in path)) for score, path in found.n_best(n_best)
        ),
    )
