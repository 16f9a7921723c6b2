"""An encoding as blocks: the text in its tokens, then each different word with the steps to its pieces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from paribus.text.segmenting.viterbi import MISSING, TAGS
from paribus.text.tokenizers.explaining.applying import Merges
from paribus.text.tokenizers.explaining.blocks import (
    Block,
    Cell,
    Content,
    Document,
    Graph,
    GraphEdge,
    Piece,
    Pieces,
    Section,
    Table,
    Text,
)
from paribus.text.tokenizers.explaining.encoded import Encoding, Run, Steps, Token, WordEncoded
from paribus.text.tokenizers.explaining.lattice import Lattice, ScoredEdge
from paribus.text.tokenizers.explaining.matching import Matches
from paribus.text.tokenizers.explaining.segments import Segmented
from paribus.text.tokenizers.explaining.tagging import Tagging
from paribus.text.tokenizers.explaining.writing import visible


def encoding_document(encoding: Encoding) -> Document:
    """The encoding, from the text to the steps of each word."""
    size = len(encoding.text.encode())
    answer = f"{len(encoding.ids):,} tokens for {len(encoding.text):,} characters, {size:,} bytes, by {encoding.method}."
    return Document(f"How {encoding.tokenizer} encodes a text", answer, tuple(_sections(encoding)))


def _sections(encoding: Encoding) -> Iterator[Section]:
    tokens = [token for word in encoding.words for token in word.tokens]
    normalised = (
        f"The normaliser {encoding.normaliser} leaves the text as it is."
        if encoding.normalised == encoding.text
        else f"The normaliser {encoding.normaliser} makes of it: {visible(encoding.normalised)}"
    )
    yield Section("Text", (Text(visible(encoding.text)), Text(normalised), _tokens(tokens)))
    words = Pieces(tuple(Piece(visible(word.word)) for word in encoding.words))
    yield Section(f"Words by the split: {encoding.split}", (words,))
    if fallen := list(_fallen(encoding.words)):
        columns = ("characters", "in the word", "tokens")
        yield Section("Characters without a piece", (Table(columns, tuple(fallen)),))
    for word in dict.fromkeys(encoding.words):
        blocks = [block for run in word.runs for block in _run_blocks(run, alone=len(word.runs) == 1)]
        if blocks:
            yield Section(visible(word.word), (_tokens(word.tokens), *blocks))


def _tokens(tokens: Sequence[Token]) -> Pieces:
    return Pieces(tuple(Piece(visible(token.text), f"{token.id}", token.fallback) for token in tokens))


def _fallen(words: Sequence[WordEncoded]) -> Iterator[tuple[str, str, tuple[Pieces, ...]]]:
    for word in dict.fromkeys(words):
        for run in word.runs:
            if run.fallen:
                fallen = [token for token in run.tokens if token.fallback]
                yield visible(run.fallen), visible(word.word), (_tokens(fallen),)


def _run_blocks(run: Run, *, alone: bool) -> Iterator[Block]:
    blocks = list(_steps(run.steps))
    if blocks and not alone:
        yield Text(f"{visible(run.text)}:")
    yield from blocks


def _steps(steps: Steps | None) -> Iterator[Block]:
    if isinstance(steps, Merges):
        yield from _merges(steps)
    elif isinstance(steps, Matches):
        yield _matches(steps)
    elif isinstance(steps, Lattice):
        yield from _lattice(steps)
    elif isinstance(steps, Segmented):
        yield from _segmented(steps)


def _merges(found: Merges) -> Iterator[Block]:
    if found.whole:
        yield Text("The word is a token by itself, which is taken at once: its merges would not lead there.")
    if not found.steps:
        return
    rows: list[tuple[Content, ...]] = [
        ("", "", Cell("before"), (_row(found.units),)),
        *(
            (
                f"{number:,}",
                f"{step.rank:,}",
                f"{visible(step.left)} + {visible(step.right)} → {visible(step.made)}",
                (_row(step.pieces),),
            )
            for number, step in enumerate(found.steps, 1)
        ),
    ]
    yield Table(("step", "rank", "merge", "word"), tuple(rows), numbers=frozenset({"step", "rank"}))


def _row(pieces: Sequence[str]) -> Pieces:
    return Pieces(tuple(Piece(visible(piece)) for piece in pieces))


def _matches(found: Matches) -> Table:
    rows = []
    for match in found.tries:
        cells = tuple(Cell(visible(piece), piece == match.found) for piece in match.tried)
        rows.append((f"{match.start:,}", cells, "no piece" if match.found is None else visible(match.found)))
    return Table(("from", "tried, longest first", "taken"), tuple(rows), numbers=frozenset({"from"}))


def _lattice(found: Lattice) -> Iterator[Block]:
    yield _graph(found.word, found.edges, "Lattice: every piece that the word has, with its log probability")
    rows = tuple(
        (f"{number}", f"{path.score:.4f}", (_row(path.pieces),))
        for number, path in enumerate(found.n_best, 1)
    )
    yield Table(("rank", "log P", "pieces"), rows, "Best paths", numbers=frozenset({"rank", "log P"}))


def _graph(text: str, edges: Sequence[ScoredEdge], title: str) -> Graph:
    return Graph(
        tuple(map(visible, text)),
        tuple(
            GraphEdge(edge.start, edge.end, visible(edge.piece), f"{edge.score:.2f}", edge.best, edge.known)
            for edge in edges
        ),
        title,
    )


def _segmented(found: Segmented) -> Iterator[Block]:
    for reason in found.reasons:
        if isinstance(reason, Tagging):
            yield _tags(reason)
        else:
            yield _graph(reason.text, reason.edges, "Words of the dictionary, with the log of their share")
    rows = tuple(
        (visible(segment.text), "a token" if segment.token else "written by its characters")
        for segment in found.segments
    )
    yield Table(("segment", "in the vocabulary"), rows, "Segments")


def _tags(found: Tagging) -> Table:
    rows: list[tuple[Content, ...]] = []
    for row in found.rows:
        cells = (
            Cell(_log(score, before), tag == row.tag)
            for tag, score, before in zip(TAGS, row.best, row.before, strict=True)
        )
        emissions = " ".join(map(_log, row.emission))
        rows.append((visible(row.letter), *cells, emissions))
    names = ("B (begins)", "M (inside)", "E (ends)", "S (single)")
    return Table(
        ("", *names, "log P(character | B M E S)"),
        tuple(rows),
        "Viterbi: the best log probability up to each tag, and the tag before it",
        numbers=frozenset(names),
    )


def _log(score: float, before: str = "") -> str:
    number = "−∞" if score <= MISSING / 2 else f"{score:.2f}"
    return f"{before}→ {number}" if before and number != "−∞" else number
