"""`paribus tokenizer`: train, look at and use tokenizers."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from paribus.cli.json_option import JsonOption
from paribus.cli.text_options import (
    FieldOption,
    MinCountOption,
    NormaliserOption,
    SplitOption,
    UnknownOption,
    WhichTokenizer,
)
from paribus.cli.tokenizer_compare import compare
from paribus.cli.tokenizer_explain import explain
from paribus.cli.tokenizer_files import convert, show
from paribus.cli.tokenizer_segment import segment
from paribus.errors import RequestError

app = typer.Typer(no_args_is_help=True, help="Train, compare, explain and convert tokenizers.")

app.command("compare")(compare)
app.command("show")(show)
app.command("convert")(convert)
app.command("segment")(segment)
app.command("explain")(explain)


@app.command("methods")
def methods(
    as_json: JsonOption = False,
) -> None:
    """The methods that can be trained, the splits and the normalisers.

    Example: [bold]paribus tokenizer methods[/bold]
    """
    from rich.table import Table

    from paribus.cli.display import Display
    from paribus.text.tokenizers.methods import get_method, method_names
    from paribus.text.tokenizers.normalisers import NORMALISERS
    from paribus.text.tokenizers.splits import SPLITS

    rows = [get_method(name) for name in method_names()]
    if as_json:
        tree = {
            "methods": {
                row.name: {"summary": row.summary, "options": dict(row.options or {})} for row in rows
            },
            "splits": {
                row.name: {"pattern": row.pattern, "summary": row.summary, "loses": row.loses}
                for row in SPLITS.values()
            },
            "normalisers": {row.name: {"loses": row.loses} for row in NORMALISERS.values()},
        }
        typer.echo(json.dumps(tree, indent=2, ensure_ascii=False))
        return
    display = Display()
    for title, lines in (
        ("methods", [(row.name, row.summary) for row in rows]),
        ("splits", [(row.name, row.summary) for row in SPLITS.values()]),
        (
            "normalisers",
            [
                (row.name, "loses " + ", ".join(row.loses) if row.loses else "loses nothing")
                for row in NORMALISERS.values()
            ],
        ),
    ):
        table = Table(title=title, title_justify="left", box=None, show_header=False)
        for line in lines:
            table.add_row(*line)
        display.show(table)


@app.command("train")
def train(
    out: Annotated[Path, typer.Option(help="The folder to write; it must not be there yet.")],
    method: Annotated[str, typer.Option(help="See paribus tokenizer methods.")] = "byte_bpe",
    vocab_size: Annotated[int, typer.Option(help="How many ids, bytes and special tokens included.")] = 8192,
    data: Annotated[
        str, typer.Option(help="stdlib, or a text file, a folder, .jsonl, .jsonl.gz or .parquet.")
    ] = "stdlib",
    text_field: FieldOption = "text",
    normaliser: NormaliserOption = "none",
    split: SplitOption = "gpt4",
    unknown: UnknownOption = "bytes",
    min_count: MinCountOption = None,
    special: Annotated[
        list[str] | None, typer.Option(help="A special token, which text never becomes; may be repeated.")
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option(help="KEY=VALUE for the method, such as coverage=1; may be repeated.")
    ] = None,
    most: Annotated[
        str | None,
        typer.Option("--most-bytes", help="Train on the first documents of so many bytes, as 30M."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Train a tokenizer on your text and write it to a folder, which --tokenizer takes everywhere.

    Example: [bold]paribus tokenizer train --method byte_bpe --vocab-size 8192 --data my.txt --out my-tokenizer[/bold]
    """
    from paribus.cli.display import Display
    from paribus.cli.reading import pairs, size
    from paribus.text.tokenizers.recipe import Recipe
    from paribus.text.tokenizers.training import check_new_folder, train_on, write_tokenizer

    check_new_folder(out)
    recipe = Recipe(
        method=method,
        vocab_size=vocab_size,
        normaliser=normaliser,
        split=split,
        unknown=unknown,
        min_count=min_count,
        specials=tuple(special or ()),
        options=pairs(option, option="--option"),
    )
    display = Display()
    begun = time.perf_counter()
    with display.bytes("reading text") as progress:
        tokenizer = train_on(
            data,
            recipe,
            text_field=text_field,
            most_bytes=size(most, option="--most-bytes"),
            progress=progress,
        )
    seconds = time.perf_counter() - begun
    files = write_tokenizer(tokenizer, out)
    seen = tokenizer.trained_on["seen"]
    if as_json:
        found: dict[str, Any] = {
            "name": tokenizer.name,
            "path": str(out),
            "files": files,
            "vocab_size": tokenizer.vocab_size,
            "recipe": recipe.to_dict(),
            "loses": tokenizer.loses,
            "documents": seen["documents"],
            "bytes": seen["bytes"],
            "seconds": seconds,
        }
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    display.say(
        f"{tokenizer.name}: {tokenizer.vocab_size:,} tokens from {seen['bytes'] / 1e6:,.1f} MB in {seconds:,.1f} s, "
        f"{seen['bytes'] / 1e6 / seconds:,.1f} MB/s; it "
        + (f"loses {'; '.join(tokenizer.loses)}" if tokenizer.loses else "loses nothing")
        + f"; written to {out}"
    )
    if method != "byte" and tokenizer.vocab_size < vocab_size:
        display.say(f"{vocab_size:,} tokens were asked for: the text has no more to make")


@app.command("encode")
def encode(
    which: WhichTokenizer,
    text: Annotated[str | None, typer.Argument(help="The text. Default: what comes in on stdin.")] = None,
    dropout: Annotated[
        float | None, typer.Option(help="Pass over merges at random with this probability (BPE-dropout).")
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option(
            help="Draw a way to cut words by its probability to this power (subword regularisation)."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of --dropout and --alpha.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """The ids of a text, and what each stands for.

    Example: [bold]paribus tokenizer encode my-tokenizer "some text"[/bold]
    """
    import numpy as np

    from paribus.text.tokenizers import get_tokenizer
    from paribus.text.tokenizers.model import Sampling
    from paribus.text.tokenizers.trained import TrainedTokenizer

    tokenizer = get_tokenizer(which)
    given = text if text is not None else _stdin()
    if dropout is None and alpha is None:
        ids = tokenizer.encode(given).tolist()
    elif isinstance(tokenizer, TrainedTokenizer):
        how = Sampling(dropout=dropout, alpha=alpha)
        ids = tokenizer.sample(given, how, rng=np.random.default_rng(seed)).tolist()
    else:
        raise RequestError(f"{which} was not trained by paribus, so it has no random encodings")
    shown = [tokenizer.decode([number]) for number in ids]
    if as_json:
        back = tokenizer.decode(ids)
        found = {"tokenizer": tokenizer.name, "ids": ids, "tokens": shown, "round_trip": back == given}
        typer.echo(json.dumps(found, ensure_ascii=False))
        return
    for number, piece in zip(ids, shown, strict=True):
        typer.echo(f"{number:>8}  {piece!r}")
    typer.echo(f"{len(ids):,} tokens for {len(given.encode()):,} bytes", err=True)


@app.command("decode")
def decode(
    which: WhichTokenizer,
    ids: Annotated[list[int], typer.Argument(help="Ids by blanks.")],
) -> None:
    """The text of ids.

    Example: [bold]paribus tokenizer decode my-tokenizer 72 105[/bold]
    """
    from paribus.text.tokenizers import get_tokenizer

    typer.echo(get_tokenizer(which).decode(ids))


def _stdin() -> str:
    import sys

    raw = sys.stdin.buffer.read()
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RequestError(f"what came in is not UTF-8 text: byte {error.start:,} is wrong") from error
