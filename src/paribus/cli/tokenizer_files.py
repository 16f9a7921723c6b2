"""`paribus tokenizer show` and `convert`: what a tokenizer is, and its files in other libraries' formats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from paribus.cli.json_option import JsonOption
from paribus.cli.text_options import WhichTokenizer
from paribus.errors import RequestError, nearest


def show(
    which: WhichTokenizer,
    as_json: JsonOption = False,
) -> None:
    """What a tokenizer is: its algorithm, size, normaliser, split, special tokens, and what it loses.

    Example: [bold]paribus tokenizer show models/gpt2[/bold]
    """
    from rich.table import Table

    from paribus.cli.display import Display
    from paribus.text.tokenizers import get_tokenizer
    from paribus.text.tokenizers.describing import describe

    found = describe(get_tokenizer(which))
    if as_json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    table = Table(box=None, show_header=False)
    for key, value in found.items():
        table.add_row(key.replace("_", " "), _words(value))
    Display().show(table)


def convert(
    which: Annotated[str, typer.Argument(metavar="TOKENIZER", help="The folder or file of a tokenizer.")],
    out: Annotated[Path, typer.Argument(help="The folder to write; it must not be there yet.")],
    to: Annotated[
        str,
        typer.Option(
            help="tokenizer.json, sentencepiece, tiktoken, or paribus for a file of tiktoken's ranks."
        ),
    ] = "tokenizer.json",
    split: Annotated[
        str | None, typer.Option(help="How text is cut, for a file of ranks, which does not say.")
    ] = None,
) -> None:
    """Write a tokenizer in the files of other libraries, or take one from tiktoken's ranks.

    Example: [bold]paribus tokenizer convert my-tokenizer for-transformers --to tokenizer.json[/bold]
    """
    from paribus.cli.display import Display
    from paribus.text.tokenizers import get_tokenizer
    from paribus.text.tokenizers.formats.exporting import FORMATS, exported
    from paribus.text.tokenizers.formats.importing import from_ranks
    from paribus.text.tokenizers.trained import TrainedTokenizer
    from paribus.text.tokenizers.training import write_files

    if Path(which).suffix == ".tiktoken" or Path(which).name == "tiktoken.model":
        if split is None:
            raise RequestError("a file of ranks does not say how text is cut: give --split, such as gpt4")
        tokenizer = from_ranks(Path(which), split=split)
    else:
        found = get_tokenizer(which)
        if not isinstance(found, TrainedTokenizer):
            raise RequestError(
                f"{which} was not trained by paribus: its own files are what other libraries read"
            )
        if split is not None:
            raise RequestError(f"--split is for a file of ranks, and {which} says itself how text is cut")
        tokenizer = found
    if to not in (*FORMATS, "paribus"):
        raise RequestError(f"there is no format {to!r}: {nearest(to, (*FORMATS, 'paribus'))}")
    files = tokenizer.files() if to == "paribus" else exported(tokenizer, to)
    written = write_files(files, out)
    Display().say(f"{tokenizer.name} written to {out}: {', '.join(written)}")


def _words(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "; ".join(map(str, value)) or "none"
    return f"{value:,}" if isinstance(value, int) else "none" if value is None else str(value)
