"""All segmentations of many strings at once, as numpy arrays: what Unigram training counts and prunes by.

A node is a place between two characters of a string, an edge a piece from one node to a later one. Nodes at the same
distance from the start of their strings are worked on together. An edge over one character that is no piece has the id
UNKNOWN; scores have its score at their end. One word at a time is `paths.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from paribus.text.tokenizers.reference.piece_trie import UNKNOWN, PieceTrie
from paribus.text.tokenizers.reference.words import Ints, code_points

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Edges:
    """Edges from the nodes `start` to the nodes `end` with the ids of their pieces, all [edges]."""

    start: Ints
    end: Ints
    piece: Ints

    def only(self, chosen: Bools | Ints) -> Edges:
        return Edges(self.start[chosen], self.end[chosen], self.piece[chosen])

    def renamed(self, new_ids: Ints) -> Edges:
        """With `new_ids` [pieces] for the pieces; where that is UNKNOWN only edges of one character stay."""
        renamed = Edges(self.start, self.end, np.r_[new_ids, UNKNOWN][self.piece])
        return renamed.only((renamed.piece != UNKNOWN) | (self.end - self.start == 1))


@dataclass(frozen=True)
class Lattices:
    """The edges of all strings, twice: `into` in order of the nodes they lead to, `out` of those they leave, backwards.

    `steps` [nodes] is a node's distance from its string's start; `first`, `last` [strings] are the strings' nodes. Every
    place has an edge of one character, if only of an unknown one.
    """

    into: Edges
    out: Edges
    steps: Ints
    first: Ints
    last: Ints

    @classmethod
    def of(cls, strings: Sequence[str], pieces: Sequence[str]) -> Lattices:
        """The lattices of `strings` over `pieces`, whose places are their ids."""
        lengths = np.array([len(string) for string in strings])
        last = np.cumsum(lengths + 1) - 1
        first = last - lengths
        steps = np.arange(last[-1] + 1) - np.repeat(first, lengths + 1)
        symbols = code_points(strings)
        room = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(symbols))
        node = np.arange(len(symbols)) + np.repeat(
            np.arange(len(strings)), lengths
        )  # a string has a node more
        found = list(PieceTrie(pieces).find(symbols, room))
        alone = np.full(len(symbols), UNKNOWN)  # the pieces of one character
        alone[found[0][0]] = found[0][1]
        places = np.concatenate([np.arange(len(symbols)), *(each for each, _ in found[1:])])
        sizes = np.repeat(np.arange(len(found)) + 1, [len(symbols), *(len(each) for each, _ in found[1:])])
        starts, ends = node[places], node[places] + sizes
        piece = np.concatenate([alone, *(each for _, each in found[1:])])
        edges = Edges(starts, ends, piece)
        into = edges.only(np.lexsort((edges.start, edges.end, steps[edges.end])))
        out = edges.only(np.lexsort((edges.end, edges.start, -steps[edges.start])))
        return cls(into, out, steps, first, last)

    def renamed(self, new_ids: Ints) -> Lattices:
        """With other ids for the pieces, without those whose new id is UNKNOWN."""
        return replace(self, into=self.into.renamed(new_ids), out=self.out.renamed(new_ids))

    def without_whole(self) -> Lattices:
        """Without the edges over a whole string; strings must have two characters or more."""
        whole = np.full(len(self.steps), UNKNOWN)
        whole[self.first] = self.last
        return replace(self, into=self.into.only(whole[self.into.start] != self.into.end))

    def expected(self, scores: Floats, weights: Ints) -> tuple[Floats, float]:
        """Forward-backward: how often each piece is expected, the unknown last [pieces + 1], and the log likelihood,
        over all strings.

        `scores` [pieces + 1] are log probabilities; a string counts `weights` [strings] times.
        """
        edges, value = self.into, scores[self.into.piece]
        forward = _swept(edges.start, edges.end, value, self.steps)
        backward = _swept(self.out.end, self.out.start, scores[self.out.piece], self.steps)
        total = forward[self.last]
        size = np.diff(np.r_[self.first, len(self.steps)])
        logs = forward[edges.start] + value + backward[edges.end] - np.repeat(total, size)[edges.start]
        times = np.repeat(weights, size)[edges.start] * np.exp(logs)
        return counted(edges.piece, times, len(scores) - 1), float(total @ weights)

    def best(self, scores: Floats) -> BestPaths:
        """Viterbi: the best path of every string; of equals the one whose last piece is longer."""
        edges, value = self.into, scores[self.into.piece]
        reached = np.zeros(len(self.steps))
        through = np.full(len(self.steps), -1)
        for low, high, segments in _levels(edges.end, self.steps):
            sums = reached[edges.start[low:high]] + value[low:high]
            highest = np.maximum.reduceat(sums, segments)
            is_best = sums == np.repeat(highest, np.diff(np.r_[segments, high - low]))
            edge = np.where(is_best, np.arange(low, high), len(value))
            nodes = edges.end[low + segments]
            reached[nodes], through[nodes] = highest, np.minimum.reduceat(edge, segments)
        return BestPaths(self, reached[self.last], through)


@dataclass(frozen=True)
class BestPaths:
    """The best path of every string: `scores` [strings], and the edge `through` [nodes] which each node is reached."""

    lattices: Lattices
    scores: Floats
    through: Ints

    def used(self) -> tuple[Ints, Ints]:
        """(string, piece) of every piece on the paths, in no order between strings, from each string's end on."""
        lattices = self.lattices
        at, string = lattices.last, np.arange(len(lattices.last))
        strings: list[Ints] = []
        pieces: list[Ints] = []
        while True:
            on = at != lattices.first[string]
            at, string = at[on], string[on]
            if not at.size:
                break
            edge = self.through[at]
            strings.append(string)
            pieces.append(lattices.into.piece[edge])
            at = lattices.into.start[edge]
        return np.concatenate(strings), np.concatenate(pieces)


def counted(pieces: Ints, times: Floats | Ints, number: int) -> Floats:
    """How often each of `number` pieces occurs, the unknown last [number + 1]; an entry counts `times`."""
    sums = np.bincount(np.where(pieces == UNKNOWN, number, pieces), times, minlength=number + 1)
    return sums.astype(np.float64)


def _levels(nodes: Ints, steps: Ints) -> list[tuple[int, int, Ints]]:
    """For edges in order of (steps of node, node), up or down: each level's first and last edge and where, from there,
    its nodes begin.
    """
    if not nodes.size:
        return []
    bounds: Ints = np.r_[0, np.flatnonzero(np.diff(steps[nodes])) + 1, len(nodes)]
    begins = np.flatnonzero(np.r_[True, nodes[1:] != nodes[:-1]])
    cut = np.searchsorted(begins, bounds)
    return [
        (low, high, begins[left:right] - low)
        for low, high, left, right in zip(
            bounds[:-1].tolist(), bounds[1:].tolist(), cut[:-1].tolist(), cut[1:].tolist(), strict=True
        )
    ]


def _swept(source: Ints, target: Ints, value: Floats, steps: Ints) -> Floats:
    """[nodes]: log of the sum over all paths to a node of exp(sum of `value`); 0 where paths begin."""
    reached = np.zeros(len(steps))
    for low, high, segments in _levels(target, steps):
        sums = reached[source[low:high]] + value[low:high]
        highest = np.maximum.reduceat(sums, segments)
        lengths = np.diff(np.r_[segments, high - low])
        total = np.add.reduceat(np.exp(sums - np.repeat(highest, lengths)), segments)
        reached[target[low + segments]] = highest + np.log(total)
    return reached
