"""`paribus catalog models`: which model type is made of which parts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from paribus.families.survey.table import Row, Survey

COMMAND = "paribus catalog models --markdown --evidence"
_SHOWN = "type,kind,ffn,norm,placement,position,attention,window,qk_norm,experts,tied,algorithm"


def models(
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN=VALUE", help="Only rows like this: ffn=swiglu. Several must all hold."),
    ] = None,
    kind: Annotated[str | None, typer.Option(help="causal, encoder or encoder-decoder.")] = None,
    sort: Annotated[str, typer.Option(help="A column, or name.")] = "name",
    columns: Annotated[str | None, typer.Option(help=f"Columns by comma. Default: {_SHOWN}.")] = None,
    counts: Annotated[bool, typer.Option(help="Only how many types have what.")] = False,
    evidence: Annotated[bool, typer.Option(help="Say beside each claim how it is known.")] = False,
    refresh: Annotated[bool, typer.Option(help="Build all types again, whatever the cache holds.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    markdown: Annotated[bool, typer.Option(help="Print a page in Markdown.")] = False,
) -> None:
    """Which model type uses which activation, norm, placement, position and tokenizer.

    Every type of the installed transformers is built from its default config, without weights, and looked at; the
    result is kept. What cannot be found is `?`.

    Example: [bold]paribus catalog models --where ffn=swiglu --where norm=layernorm[/bold]
    """
    from paribus.families.survey import table

    table.chosen((), where or (), kind=kind, sort=sort)  # a wrong request is refused before the work
    names = table.columns(columns or _SHOWN)
    survey = _survey(refresh=refresh)
    rows = table.chosen(survey.rows, where or (), kind=kind, sort=sort)
    counted = table.counts(rows if where else [row for row in survey.rows if kind in (None, row.kind)])
    if as_json:
        print(json.dumps(_document(survey, rows, counted, only_counts=counts), indent=2))
    elif markdown:
        print(_page(survey, rows, names, counted, evidence=evidence, only_counts=counts))
    else:
        _show(survey, rows, names, counted, evidence=evidence, only_counts=counts)


def _survey(*, refresh: bool) -> Survey:
    """The table from the cache or made now; from our own rules where transformers is not installed."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from paribus.families.survey import building, own, table
    from paribus.text.data.reuse import default_cache

    error = Console(stderr=True, highlight=False)
    if building.version() is None:
        error.print(
            "transformers is not installed, so these are only the families that Paribus loads, from their rules"
        )
        return own.own_rows()
    parts = (
        "building model types",
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        "{task.description}",
    )
    shown = (TextColumn(each) if isinstance(each, str) else each for each in parts)
    with Progress(*shown, console=error, transient=True) as bar:
        task = bar.add_task("", total=None, visible=False)

        def progress(done: int, total: int, name: str) -> None:
            bar.update(task, completed=done, total=total, description=name, visible=True)
            if not error.is_terminal and done % 50 == 0:
                error.print(f"{done} of {total} model types built")

        return table.cached(default_cache(), refresh=refresh, progress=progress)


def _show(
    survey: Survey,
    rows: Sequence[Row],
    names: Sequence[str],
    counted: Any,
    *,
    evidence: bool,
    only_counts: bool,
) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    if not only_counts:
        table = Table(*names, title=_title(survey), title_justify="left", title_style="bold")
        for row in rows:
            table.add_row(*(_cell(row, name, evidence) for name in names))
        console.print(
            table
            if rows
            else "no model type is like that; paribus catalog models --counts shows what there is",
            markup=False,
        )
    for line in _lines(counted):
        console.print(line, markup=False)
    problems = [row for row in rows if row.problem]
    if problems and not only_counts:
        console.print(
            f"{len(problems)} could not be built or run; --json and --markdown say why", markup=False
        )


def _page(
    survey: Survey,
    rows: Sequence[Row],
    names: Sequence[str],
    counted: Any,
    *,
    evidence: bool,
    only_counts: bool,
) -> str:
    from paribus.families.survey.claims import EVIDENCE

    lines = [
        "# Which model uses what",
        "",
        f"{_title(survey)}. Made by `{COMMAND}`; do not edit.",
        "Every type was built from its default config, without weights, and looked at; a checkpoint may differ from the",
        "default. `?` is what could not be found, or hangs on a key that the default leaves to the checkpoint.",
        "",
        "## Counts",
        "",
        *(f"- {line}" for line in _lines(counted)),
    ]
    if not only_counts:
        lines += ["", "## Types", ""]
        if evidence:
            known = ", ".join(f"{_mark(name)} {text}" for name, text in EVIDENCE.items() if name != "unknown")
            lines += [f"How it is known: {known}.", ""]
        lines += [f"| {' | '.join(names)} |", "|" + "---|" * len(names)]
        lines += [f"| {' | '.join(_cell(row, name, evidence) for name in names)} |" for row in rows]
        problems = [row for row in rows if row.problem]
        lines += ["", "## Not built, or not run", ""] if problems else []
        lines += [f"- {row.type} ({row.kind}): `{row.problem.replace('`', '')}`" for row in problems]
    return "\n".join(lines)


def _document(survey: Survey, rows: Sequence[Row], counted: Any, *, only_counts: bool) -> dict[str, Any]:
    from dataclasses import asdict

    keys = ("kind", "column", "value", "count", "of")
    document: dict[str, Any] = {
        "transformers": survey.version,
        "counts": [dict(zip(keys, each, strict=True)) for each in counted],
    }
    return document if only_counts else {**document, "models": [asdict(row) for row in rows]}


def _title(survey: Survey) -> str:
    return f"transformers {survey.version}" if survey.version else "The families that Paribus loads"


def _lines(counted: Any) -> list[str]:
    """One line for each kind and column: `causal, ffn: swiglu 97; ...`."""
    found: dict[tuple[str, str, int], list[str]] = {}
    for kind, column, value, count, of in counted:
        found.setdefault((kind, column, of), []).append(f"{value} {count}")
    return [f"{kind}, {column} (of {of}): {'; '.join(each)}" for (kind, column, of), each in found.items()]


def _cell(row: Row, name: str, evidence: bool) -> str:
    claim = row.claims.get(name)
    if not evidence or claim is None or claim.known == "unknown":
        return row.value(name)
    return f"{claim.value} {_mark(claim.known)}"


def _mark(known: str) -> str:
    return f"({'t' if known == 'mapping' else known[0]})"
