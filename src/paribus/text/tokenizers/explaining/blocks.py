"""What an explanation is shown in: paragraphs, rows of pieces, tables and graphs. The page and the terminal draw these.

All text in blocks is written visibly already; which block is made of what stands in `training_blocks.py` and
`encoding_blocks.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True)
class Piece:
    """A piece and what stands under it; `fallback` where it stands for a character without a piece."""

    text: str
    below: str = ""
    fallback: bool = False


@dataclass(frozen=True)
class Pieces:
    """Pieces side by side, coloured in turn, with a word after them."""

    pieces: tuple[Piece, ...]
    after: str = ""


@dataclass(frozen=True)
class Cell:
    """Some words; `marked` ones are what was taken."""

    text: str
    marked: bool = False


Content: TypeAlias = "str | Cell | tuple[Cell, ...] | tuple[Pieces, ...]"


@dataclass(frozen=True)
class Table:
    """Rows under `columns`; those in `numbers` stand to the right."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Content, ...], ...]
    title: str = ""
    numbers: frozenset[str] = frozenset()


@dataclass(frozen=True)
class GraphEdge:
    """A piece from one place between letters to another, with its score as it is written."""

    start: int
    end: int
    label: str
    score: str
    best: bool
    known: bool


@dataclass(frozen=True)
class Graph:
    """Pieces over a row of letters, the best path marked."""

    letters: tuple[str, ...]
    edges: tuple[GraphEdge, ...]
    title: str = ""


@dataclass(frozen=True)
class Text:
    """A sentence or two."""

    words: str


Block: TypeAlias = Text | Pieces | Table | Graph


@dataclass(frozen=True)
class Section:
    """Blocks under a heading."""

    title: str
    blocks: tuple[Block, ...] = ()


@dataclass(frozen=True)
class Document:
    """A title, the whole in a sentence, and sections."""

    title: str
    answer: str
    sections: tuple[Section, ...] = field(default=())


def edge_table(graph: Graph) -> Table:
    """The edges of a graph as rows, for where nothing is drawn."""
    rows = tuple(
        (
            f"{edge.start:,}",
            f"{edge.end:,}",
            Cell(edge.label, edge.best),
            edge.score,
            ("best path" if edge.best else "") if edge.known else "no piece" + ", best path" * edge.best,
        )
        for edge in graph.edges
    )
    return Table(
        ("from", "to", "piece", "log P", ""), rows, graph.title, numbers=frozenset({"from", "to", "log P"})
    )


def kind(block: Block | Content) -> str:
    """The name of a block's class, for renderers that choose by it."""
    return type(block).__name__
