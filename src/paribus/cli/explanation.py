"""An explanation of a tokenizer in the terminal: the blocks of `text.tokenizers.explaining` by rich."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text as RichText

from paribus.text.tokenizers.explaining.blocks import (
    Block,
    Cell,
    Content,
    Document,
    Graph,
    Pieces,
    Table,
    Text,
    edge_table,
)

#: Behind pieces in turn; they are told apart by blanks where there is no colour.
_COLOURS = ("black on cyan", "black on yellow", "black on green", "black on magenta")


def renderables(document: Document) -> Iterator[RenderableType]:
    """All of the document, part by part."""
    yield RichText(document.title, style="bold")
    yield RichText(document.answer)
    for section in document.sections:
        yield RichText(f"\n{section.title}", style="bold cyan")
        yield from itertools.chain.from_iterable(map(_block, section.blocks))


def _block(block: Block) -> Iterator[RenderableType]:
    if isinstance(block, Text):
        yield RichText(block.words)
    elif isinstance(block, Pieces):
        yield _pieces(block)
    else:
        table = edge_table(block) if isinstance(block, Graph) else block
        if table.title:
            yield RichText(f"\n{table.title}", style="italic")
        yield _table(table)


def _pieces(row: Pieces) -> RichText:
    line = RichText()
    for number, piece in enumerate(row.pieces):
        if number:
            line.append(" ")
        style = "black on red" if piece.fallback else _COLOURS[number % len(_COLOURS)]
        line.append(piece.text or "unknown", style=style)
        if piece.below:
            line.append(f" {piece.below}", style="dim")
            if number + 1 < len(row.pieces):
                line.append(" ")
    if row.after:
        line.append(f" {row.after}".lstrip() if not row.pieces else f" {row.after}", style="dim")
    return line


def _table(block: Table) -> RichTable:
    table = RichTable(box=None, pad_edge=False)
    for column in block.columns:
        table.add_column(column, justify="right" if column in block.numbers else "left", header_style="dim")
    for row in block.rows:
        table.add_row(*map(_content, row))
    return table


def _content(content: Content) -> RenderableType:
    if isinstance(content, str):
        return RichText(content)
    if isinstance(content, Cell):
        return _cell(content)
    return Group(*_lines(content))


def _lines(content: tuple[Cell, ...] | tuple[Pieces, ...]) -> Iterator[RichText]:
    tried = RichText()
    for each in content:
        if isinstance(each, Pieces):
            yield _pieces(each)
        else:
            tried.append_text(_cell(each)).append("  ")
    if tried:
        yield tried


def _cell(cell: Cell) -> RichText:
    # Without colours a mark is all that tells what was taken.
    return RichText(f"[{cell.text}]", style="bold green") if cell.marked else RichText(cell.text)
