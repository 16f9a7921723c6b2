"""An explanation as one HTML file of its own: blocks as coloured pieces, tables and drawn graphs."""

from __future__ import annotations

from importlib import resources

from paribus.text.pages import rendered
from paribus.text.tokenizers.explaining.blocks import Document, edge_table, kind
from paribus.text.tokenizers.explaining.drawing import MOST_LETTERS, drawn


def page(document: Document) -> str:
    """The whole page as HTML."""
    folder = resources.files("paribus.text.tokenizers.explaining") / "templates"
    values = {"document": document, "most_letters": MOST_LETTERS}
    return rendered(folder, "explain", values, filters={"kind": kind, "drawn": drawn, "edges": edge_table})
