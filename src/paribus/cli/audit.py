"""`paribus data audit`: how repeated a text is."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paribus.cli.json_option import JsonOption
from paribus.cli.page_file import check_page
from paribus.cli.text_options import FieldOption
from paribus.cores import MOST_THREADS
from paribus.errors import RequestError, shown

if TYPE_CHECKING:
    from rich.table import Table

_SIZES = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "t": 1e12}


def audit(
    source: Annotated[
        str, typer.Argument(help="Text, .jsonl, .parquet, a folder of these, or a prepared dataset.")
    ],
    against: Annotated[
        str | None, typer.Option(help="Held-out text, to find what of it is in the source.")
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="Whose tokens are counted. Default: bytes, or the dataset's own.")
    ] = None,
    ngrams: Annotated[str, typer.Option(help="Lengths of runs that are looked for, by comma.")] = "13,50",
    similarity: Annotated[
        float,
        typer.Option(help="Jaccard similarity of word 5-grams from which on documents are near copies."),
    ] = 0.8,
    passes: Annotated[
        float | None, typer.Option(help="Passes over the source that are planned. Default: 1.")
    ] = None,
    tokens: Annotated[
        str | None, typer.Option(help="Or tokens to train on that are planned, as in 130M.")
    ] = None,
    dedup: Annotated[
        Path | None,
        typer.Option(help="Write the cleaned set to this new .jsonl, and beside it a ledger of what went."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the report to this .html file.")] = None,
    text_field: FieldOption = "text",
    workers: Annotated[
        int | None, typer.Option(min=1, max=MOST_THREADS, help="Threads. Default: all cores.")
    ] = None,
    memory: Annotated[
        float, typer.Option(help="GB for sorting runs; less takes longer and finds the same.")
    ] = 1.0,
    as_json: JsonOption = False,
) -> None:
    """How repeated a text is: exact and near copies, runs of tokens seen before, and what it is worth in training.

    Example: [bold]paribus data audit my.jsonl --passes 4 --out audit.html --dedup clean.jsonl[/bold]

    Example: [bold]paribus data audit train.jsonl --against heldout.jsonl --json[/bold]
    """
    from paribus.cli.stages import stages
    from paribus.text.data.audit.engine import Settings
    from paribus.text.data.audit.engine import audit as run
    from paribus.text.data.audit.page import page
    from paribus.text.data.failures import writing

    if out is not None:
        check_page(out, option="--out")
    if not 0 < memory < 1e6:
        raise RequestError(f"--memory is a number of GB above zero; it is {memory:g}")
    settings = Settings(
        tokenizer=tokenizer,
        against=against,
        text_field=text_field,
        ngrams=_lengths(ngrams),
        similarity=similarity,
        passes=passes,
        tokens=_size(tokens),
        dedup=dedup,
        memory=int(memory * 1e9),
        **({"workers": workers} if workers else {}),
    )
    try:
        with stages() as told:
            results = run(source, settings, progress=told)
    except KeyboardInterrupt:
        typer.echo("stopped; nothing was written", err=True)
        raise typer.Exit(130) from None
    if as_json:
        print(json.dumps(results, indent=2))
    else:
        _show(results)
    if out is not None:
        with writing(out.parent):
            out.write_text(page(results), encoding="utf-8")
    for path in [*results.get("dedup", {}).values(), *([out] if out else [])]:
        typer.echo(f"written: {shown(path)}", err=True)


def _show(results: Mapping[str, Any]) -> None:
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    console.print(_documents(results, "of the source"))
    console.print(_runs(results["ngrams"], "in a run that was there before"))
    if (heldout := results.get("heldout")) is not None:
        console.print(_documents(heldout, "of the held-out text, in the source"))
        console.print(_runs(heldout["ngrams"], "of the held-out text in a run of the source"))
    if left_out := results["source"]["left_out"]:
        console.print(f"left out, as they are empty or not text: {left_out:,}")
    console.print(results["worth"]["said"])


def _documents(results: Mapping[str, Any], what: str) -> Table:
    from rich.table import Table

    from paribus.text.data.audit.page import percent

    rows = {"exact copies": results["exact"], "near copies": results["near"], "kept": results.get("kept")}
    shown_rows = {label: row for label, row in rows.items() if row is not None}
    table = Table(what)
    for label in shown_rows:
        table.add_column(label, justify="right")
    for name in ("documents", "bytes", "tokens"):
        cells = [f"{row[name]:,} ({percent(row['share'][name])})" for row in shown_rows.values()]
        table.add_row(name, *cells)
    return table


def _runs(rows: list[dict[str, Any]], what: str) -> Table:
    from rich.table import Table

    from paribus.text.data.audit.page import percent

    table = Table("run of")
    table.add_column(f"tokens {what}", justify="right")
    table.add_column("share", justify="right")
    for row in rows:
        table.add_row(f"{row['n']} tokens", f"{row['tokens']:,}", percent(row["share"]))
    return table


def _lengths(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError:
        raise RequestError(f"--ngrams takes whole numbers by comma, as in 13,50; it is {text!r}") from None


def _size(text: str | None) -> float | None:
    """`130M` or `1.5e9` as a number."""
    if text is None:
        return None
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?(?:e\d+)?)\s*([kmbgt]?)\s*", text.lower())
    if not found:
        raise RequestError(f"--tokens is a number of tokens, as in 130M or 1.5e9; it is {text!r}")
    return float(found[1]) * _SIZES[found[2]]
