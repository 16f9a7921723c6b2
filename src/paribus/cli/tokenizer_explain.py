"""`paribus tokenizer explain`: how a tokenizer is trained, or how one encodes a text, step by step."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paribus.cli.json_option import JsonOption
from paribus.cli.page_file import check_page
from paribus.cli.text_options import FieldOption, MinCountOption
from paribus.errors import RequestError

if TYPE_CHECKING:
    from paribus.text.tokenizers.explaining import Encoding, Training
    from paribus.text.tokenizers.explaining.blocks import Document
    from paribus.text.tokenizers.methods import Corpus


def explain(
    text: Annotated[str | None, typer.Argument(help="The text to train on, or to encode.")] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="Show how this folder or file of a tokenizer encodes the text.")
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="Show the training of bpe, byte_bpe, wordpiece, wordpiece_likelihood, wordpiece_topdown, unigram or "
            "sentencepiece_bpe."
        ),
    ] = None,
    vocab_size: Annotated[
        int | None, typer.Option(help="How many ids to train, as in paribus tokenizer train.")
    ] = None,
    merges: Annotated[int | None, typer.Option(help="Or how many merges, where the method merges.")] = None,
    data: Annotated[
        str | None,
        typer.Option(help="Train on stdlib, a text file, a folder, .jsonl, .jsonl.gz or .parquet."),
    ] = None,
    text_field: FieldOption = "text",
    most: Annotated[
        str | None,
        typer.Option("--most-bytes", help="Train on the first documents of so many bytes, as 1M."),
    ] = None,
    steps: Annotated[int, typer.Option(help="Steps to show; of Unigram, dropped pieces in a round.")] = 20,
    first: Annotated[int, typer.Option(help="The first merge to show.")] = 1,
    n_best: Annotated[int, typer.Option(help="Paths through a lattice to show.")] = 5,
    normaliser: Annotated[str | None, typer.Option(help="For training. Default: none.")] = None,
    split: Annotated[str | None, typer.Option(help="For training. Default: gpt4.")] = None,
    min_count: MinCountOption = None,
    html: Annotated[Path | None, typer.Option(help="Write a page to this .html file.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Step through the training of a tokenizer, or through how one encodes a text.

    Example: [bold]paribus tokenizer explain --method bpe --merges 10 "low lower lowest"[/bold]

    Example: [bold]paribus tokenizer explain --tokenizer my-tokenizer "some text" --html some-text.html[/bold]
    """
    if (tokenizer is None) == (method is None):
        raise RequestError(
            "give --method NAME to see training, or --tokenizer PATH to see an encoding, and not both"
        )
    if html is not None:
        check_page(html, option="--html")
    if tokenizer is not None:
        for option, given in {
            "--data": data,
            "--vocab-size": vocab_size,
            "--merges": merges,
            "--normaliser": normaliser,
            "--split": split,
            "--min-count": min_count,
        }.items():
            if given is not None:
                raise RequestError(f"{option} is for training; leave it out with --tokenizer")
        found, document = _encoding(tokenizer, text, n_best)
        _show(found, document, html=html, as_json=as_json)
        return
    corpus, source = _corpus(text, data, text_field=text_field, most=most)
    fields = {"normaliser": normaliser, "split": split, "min_count": min_count}
    training = _training(
        str(method),
        corpus,
        {key: value for key, value in fields.items() if value is not None},
        vocab_size=vocab_size,
        merges=merges,
        steps=steps,
        first=first,
    )
    from paribus.text.tokenizers.explaining.training_blocks import training_document

    _show(training, training_document(training, source=source), html=html, as_json=as_json)


def _encoding(which: str, text: str | None, n_best: int) -> tuple[Encoding, Document]:
    from paribus.text.tokenizers import get_tokenizer
    from paribus.text.tokenizers.explaining import explain_encoding
    from paribus.text.tokenizers.explaining.encoding_blocks import encoding_document

    if text is None:
        raise RequestError(
            'give a text to encode, as in: paribus tokenizer explain --tokenizer PATH "some text"'
        )
    found = explain_encoding(get_tokenizer(which), text, n_best=n_best)
    return found, encoding_document(found)


def _corpus(text: str | None, data: str | None, *, text_field: str, most: str | None) -> tuple[Corpus, str]:
    """The text to train on, and what it is called."""
    from paribus.cli.reading import size
    from paribus.text.tokenizers.methods import Corpus
    from paribus.text.tokenizers.training import SourceText

    if (text is None) == (data is None):
        raise RequestError('give a text to train on, as "low lower lowest", or --data, and not both')
    if data is None:
        given = str(text)
        return Corpus(lambda: [given]), "a text"
    source = SourceText(
        data, text_field=text_field, most_bytes=size(most, option="--most-bytes"), progress=None
    )
    return Corpus(source.documents), source.name


def _training(
    method: str,
    corpus: Corpus,
    fields: dict[str, Any],
    *,
    vocab_size: int | None,
    merges: int | None,
    steps: int,
    first: int,
) -> Training:
    from paribus.text.tokenizers.explaining.merge_methods import MERGE_METHODS
    from paribus.text.tokenizers.explaining.training import check_method, explain_training
    from paribus.text.tokenizers.recipe import MOST_TOKENS, Recipe

    check_method(method)
    if vocab_size is not None and merges is not None:
        raise RequestError("--vocab-size and --merges both say how far training goes: give one of them")
    if vocab_size is None and method not in MERGE_METHODS:
        raise RequestError(f"{method} is trained down to a size: give --vocab-size")
    recipe = Recipe(method=method, vocab_size=vocab_size or MOST_TOKENS, **fields)
    return explain_training(recipe, corpus, merges=merges, first=first, steps=steps)


def _show(found: Encoding | Training, document: Document, *, html: Path | None, as_json: bool) -> None:
    from paribus.cli.display import Display
    from paribus.cli.explanation import renderables
    from paribus.text.tokenizers.explaining.page import page

    display = Display()
    if html is not None:
        html.write_text(page(document), encoding="utf-8")
        display.say(f"written to {html}")
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(found), ensure_ascii=False, indent=2, allow_nan=False))
        return
    for part in renderables(document):
        display.show(part)
