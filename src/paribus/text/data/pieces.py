"""Pieces of work: runs of spans that are read and tokenised together, by whoever is free.

Which spans make up a piece follows from the source alone, so that the result is the same however many work on it,
and a piece that was finished before a kill is found again by its number.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from paribus.text.data import spans
from paribus.text.data.corpus import Source
from paribus.text.data.spans import Span

_PIECES = 1024  # of a large source: few enough to be files in one folder
_LARGEST_IN_BLOCKS = 16
_MOST_SPANS = 4096


@dataclass(frozen=True)
class Piece:
    """Piece `number` of a source, and how many bytes of it that is."""

    number: int
    spans: tuple[Span, ...]

    @property
    def size(self) -> int:
        return sum(span.size for span in self.spans)


def piece_bytes(source: Source) -> int:
    """Bytes of source in a piece, at least: 4 MiB, and up to 64 MiB of a source of many gigabytes."""
    in_blocks = source.num_bytes // (_PIECES * spans.BLOCK_BYTES)
    return min(max(in_blocks, 1), _LARGEST_IN_BLOCKS) * spans.BLOCK_BYTES


def pieces_of(source: Source) -> Iterator[Piece]:
    """All pieces in order. Raises `RequestError` where a file cannot be cut."""
    enough = piece_bytes(source)
    number = weight = 0
    waiting: list[Span] = []
    for span in source.spans():
        waiting.append(span)
        # What was compressed may be much more in memory than in the file.
        weight += max(span.size, len(span.content or b""))
        if weight >= enough or len(waiting) == _MOST_SPANS:
            yield Piece(number, tuple(waiting))
            number, weight, waiting = number + 1, 0, []
    if waiting:
        yield Piece(number, tuple(waiting))
