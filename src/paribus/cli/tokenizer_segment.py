"""`paribus tokenizer segment`: segmenters trained and scored on text that somebody has cut into words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from paribus.cli.json_option import JsonOption
from paribus.errors import RequestError


def segment(
    text: Annotated[
        Path, typer.Argument(help="Segmented text: a sentence a line, its words divided by spaces.")
    ],
    test: Annotated[
        Path | None, typer.Option(help="Segmented text to score on. Default: a held-out share of the other.")
    ] = None,
    held_out: Annotated[
        float, typer.Option(help="Share of the sentences to score on, without --test.")
    ] = 0.1,
    methods: Annotated[
        str | None, typer.Option(help="Methods by comma, neural among them. Default: all others that learn.")
    ] = None,
    show: Annotated[
        str | None, typer.Option(help="A text without spaces that every method is to cut, instead of scores.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare ways to cut text into words: precision, recall and F1 with intervals, beside maximum matching.

    Example: [bold]paribus tokenizer segment my-segmented.txt --methods forward,dictionary,hmm[/bold]
    """
    from paribus.cli.display import Display
    from paribus.text.segmenting.comparing import compare_segmenters, divide
    from paribus.text.segmenting.methods import METHODS, get_method, train_segmenter
    from paribus.text.segmenting.segmented_text import read_segmented

    names = methods.split(",") if methods else [name for name, row in METHODS.items() if row.needs_text]
    known = dict(METHODS)
    if "neural" in names:
        from paribus.train.segmenter import ALL_METHODS

        known = dict(ALL_METHODS)
    rows = [get_method(name, known) for name in names]
    sentences = read_segmented(text)
    display = Display()
    if show is not None:
        if not show:
            raise RequestError("--show is an empty text: give one to cut")
        cut = {row.name: train_segmenter(row, sentences).segment(show) for row in rows}
        if as_json:
            typer.echo(json.dumps(cut, ensure_ascii=False))
            return
        for name, pieces in cut.items():
            typer.echo(f"{name:>16}  {' '.join(pieces)}")
        return
    scored = read_segmented(test) if test is not None else None
    if scored is None:
        sentences, scored = divide(sentences, held_out=held_out)
    found = compare_segmenters(map(" ".join, sentences), map(" ".join, scored), rows)
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=2, ensure_ascii=False))
        return
    display.say(
        f"trained on {found.train_sentences:,} sentences, scored on {found.test_sentences:,} of {found.test_words:,} "
        f"words, {found.unknown:.0%} of which training did not see"
    )
    typer.echo(found.markdown(), nl=False)
