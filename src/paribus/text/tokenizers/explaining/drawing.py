"""A graph of pieces as an SVG element: each piece is a bar over the letters that it covers, the best path filled."""

from __future__ import annotations

from markupsafe import Markup, escape

from paribus.text.tokenizers.explaining.blocks import Graph, GraphEdge

_LETTER, _BAR, _GAP = 64, 34, 6
_FOOT = 22
#: A wider drawing is nothing to look at; the edges stand in a table then.
MOST_LETTERS = 120


def drawn(graph: Graph) -> Markup:
    """Bars in as few rows as they fit in, the short ones at the bottom, above the letters."""
    rows = _rows(graph)
    high = len(rows) * (_BAR + _GAP)
    wide = len(graph.letters) * _LETTER
    parts = [
        f'<line class="place" x1="{place * _LETTER}" y1="0" x2="{place * _LETTER}" y2="{high}"/>'
        for place in range(len(graph.letters) + 1)
    ]
    for number, row in enumerate(rows):
        top = high - (number + 1) * (_BAR + _GAP) + _GAP
        parts += (_bar(edge, top) for edge in row)
    parts += (
        f'<text class="letter" x="{(place + 0.5) * _LETTER:.0f}" y="{high + _FOOT - 5}">{escape(letter)}</text>'
        for place, letter in enumerate(graph.letters)
    )
    return Markup(
        f'<svg width="{wide + 2}" height="{high + _FOOT}" viewBox="-1 0 {wide + 2} {high + _FOOT}" role="img">'
        f"<title>{escape(graph.title)}</title>{''.join(parts)}</svg>"
    )


def _rows(graph: Graph) -> list[list[GraphEdge]]:
    """The edges in rows without overlaps, shorter ones first, the first row at the bottom."""
    rows: list[list[GraphEdge]] = []
    for edge in sorted(graph.edges, key=lambda edge: (edge.end - edge.start, edge.start)):
        for row in rows:
            if all(edge.end <= other.start or edge.start >= other.end for other in row):
                row.append(edge)
                break
        else:
            rows.append([edge])
    return rows


def _bar(edge: GraphEdge, top: int) -> str:
    left, wide = edge.start * _LETTER, (edge.end - edge.start) * _LETTER
    middle = left + wide / 2
    kind = " ".join(name for name, there in (("best", edge.best), ("unknown", not edge.known)) if there)
    known = "" if edge.known else ", no piece"
    return (
        f'<g class="edge {kind}"><title>{escape(edge.label)}: {edge.score}{known}</title>'
        f'<rect x="{left + 2}" y="{top}" width="{wide - 4}" height="{_BAR}" rx="4"/>'
        f'<text x="{middle:.0f}" y="{top + 14}">{escape(edge.label)}</text>'
        f'<text class="score" x="{middle:.0f}" y="{top + 28}">{edge.score}</text></g>'
    )
