"""Explanations as pages: whole by themselves, with all text escaped and the best path drawn."""

import re
from html.parser import HTMLParser

import pytest

from paribus.text.tokenizers.explaining import explain_encoding, explain_training
from paribus.text.tokenizers.explaining.blocks import Document, Graph, GraphEdge, Section
from paribus.text.tokenizers.explaining.drawing import MOST_LETTERS, drawn
from paribus.text.tokenizers.explaining.encoding_blocks import encoding_document
from paribus.text.tokenizers.explaining.page import page
from paribus.text.tokenizers.explaining.training import EXPLAINED
from paribus.text.tokenizers.explaining.training_blocks import training_document
from paribus.text.tokenizers.explaining.writing import visible
from paribus.text.tokenizers.methods import METHODS, Corpus
from paribus.text.tokenizers.recipe import Recipe
from tests.text.tokenizers.test_trained import TEXTS, trained

ODD = "<script>alert(1)</script> \x1b[31m the catß&\u202e"


class Tags(HTMLParser):
    """Checks that tags close in order, and keeps the text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in ("meta", "line", "rect"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(html: str) -> str:
    """The text of a page that is whole."""
    tags = Tags()
    tags.feed(html)
    assert not tags.open and "<script" not in html and "http://" not in html and "https://" not in html
    assert "default-src 'none'" in html and "\x1b" not in html and "\u202e" not in html
    return re.sub(r"\s+", " ", tags.text)


@pytest.mark.parametrize("method", METHODS)
def test_encodings_of_all_methods_have_a_page(method: str) -> None:
    found = explain_encoding(trained(method), ODD)
    text = read(page(encoding_document(found)))
    assert f"{len(found.ids)} tokens for" in text and visible(ODD) in text
    for word in found.words:
        assert visible(word.word) in text


@pytest.mark.parametrize("method", EXPLAINED)
def test_trainings_of_all_methods_have_a_page(method: str) -> None:
    found = explain_training(Recipe(method=method, vocab_size=420), Corpus(lambda: (*TEXTS, ODD)), steps=4)
    text = read(page(training_document(found, source="<b>")))
    assert f"How {method} is trained on <b>" in text
    for now in found.words:
        assert " ".join(visible(now.word).split()) in text


def test_a_lattice_is_drawn_without_overlaps_and_its_best_path_marked() -> None:
    edges = [
        (0, 1, "a", False),
        (1, 2, "b", False),
        (0, 2, "ab", True),
        (1, 3, "bc", False),
        (2, 3, "<", True),
    ]
    graph = Graph(tuple("ab<"), tuple(GraphEdge(s, e, p, "-1.00", best, True) for s, e, p, best in edges))
    svg = str(drawn(graph))
    bars = [tuple(map(float, found)) for found in re.findall(r'<rect x="(\d+)" y="(\d+)" width="(\d+)"', svg)]
    assert len(bars) == len(edges) and svg.count("edge best") == 2 and "&lt;" in svg
    for n, (x, y, wide) in enumerate(bars):
        assert all(y != top or x + wide <= left or left + w <= x for left, top, w in bars[n + 1 :])


def test_a_long_lattice_is_a_table() -> None:
    letters = ("a",) * (MOST_LETTERS + 1)
    graph = Graph(letters, (GraphEdge(0, 1, "only", "-1.00", True, True),), "Lattice")
    html = page(Document("t", "a", (Section("s", (graph,)),)))
    assert "<svg" not in html and "only" in read(html) and "best path" in html
