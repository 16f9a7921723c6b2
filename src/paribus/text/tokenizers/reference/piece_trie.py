"""Where pieces stand in many strings: a trie walked from all places at once, one character deeper at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from paribus.text.tokenizers.reference.words import Ints, code_points

UNKNOWN = -1  # no piece


class PieceTrie:
    """The strings `pieces`, whose places in the sequence are their ids."""

    def __init__(self, pieces: Sequence[str]) -> None:
        symbols, sizes = code_points(pieces), np.array([len(piece) for piece in pieces])
        first = np.cumsum(sizes) - sizes
        inside = np.arange(len(pieces))  # the pieces that go deeper
        nodes = np.zeros(len(pieces), dtype=np.int64)  # where in the level above each of them has come
        self._keys: list[Ints] = []  # of each level, sorted: the node above and the character
        self._pieces: list[Ints] = []  # of each level: the piece that ends at each node, or UNKNOWN
        depth = 0
        while inside.size:
            keys, nodes = np.unique(nodes << 21 | symbols[first[inside] + depth], return_inverse=True)
            ended = np.full(len(keys), UNKNOWN)
            depth += 1
            ends = sizes[inside] == depth
            ended[nodes[ends]] = inside[ends]
            self._keys.append(keys)
            self._pieces.append(ended)
            inside, nodes = inside[~ends], nodes[~ends]

    def find(self, symbols: Ints, room: Ints) -> Iterator[tuple[Ints, Ints]]:
        """For each length from 1 on: the places in `symbols` where pieces of that length start, and which.

        `room` [symbols] is how many characters a place has before its string ends.
        """
        places = np.arange(len(symbols))
        nodes = np.zeros(len(symbols), dtype=np.int64)
        for depth, (keys, pieces) in enumerate(zip(self._keys, self._pieces, strict=True)):
            fits = room[places] > depth
            places, nodes = places[fits], nodes[fits]
            wanted = nodes << 21 | symbols[places + depth]
            nodes = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
            there = keys[nodes] == wanted
            places, nodes = places[there], nodes[there]
            found = pieces[nodes]
            yield places[found != UNKNOWN], found[found != UNKNOWN]
