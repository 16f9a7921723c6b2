"""`paribus study list | show | compare | export`: what a person does with studies that are there already."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paribus.cli.running import RUNS
from paribus.errors import RequestError, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import RenderableType

    from paribus.study.finished.archive import Study

_StudyName = Annotated[
    str, typer.Argument(metavar="STUDY", help="Its folder, its name in runs, or the start of that name.")
]
_AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


def register(app: typer.Typer) -> None:
    """Add the four commands to `paribus study`."""
    app.command("list")(list_studies)
    app.command("show")(show)
    app.command("compare")(compare)
    app.command("export")(export)


def list_studies(
    folder: Annotated[Path, typer.Argument(help="Where to look, with all that is below it.")] = RUNS,
    as_json: _AsJson = False,
) -> None:
    """List every study in a folder, the newest last: what it compares, how far it is, what it found.

    Example: [bold]paribus study list[/bold]
    """
    from rich.console import Console

    from paribus.cli import study_tables
    from paribus.study.finished.archive import find

    studies = [] if folder == RUNS and not folder.exists() else find(folder)
    if as_json:
        print(json.dumps([_row(study) for study in studies], indent=2))
        return
    if not studies:
        typer.echo(f"there is no study in {folder}", err=True)
        return
    Console(highlight=False, markup=False).print(study_tables.studies_table(studies, folder))


def show(study: _StudyName, as_json: _AsJson = False) -> None:
    """Show a study's verdict again; of one that is not finished, the trials there are.

    Example: [bold]paribus study show ffn-stdlib[/bold]
    """
    from rich.console import Console

    from paribus.cli import study_tables
    from paribus.study.finished.archive import open_study

    found = open_study(study, runs=RUNS)
    if as_json:
        print(json.dumps(found.results or _row(found) | {"rows": list(found.trials)}, indent=2))
        return
    console = Console(highlight=False, markup=False)
    if found.results is not None:
        console.print(_verdict(found))
        if (report := found.folder / "report.html").exists():
            console.print(study_tables.text(f"report: {report}"), soft_wrap=True)
        return
    console.print(study_tables.progress_table(found))
    counts = found.counts
    finished = counts["done"] + counts["diverged"]
    console.print(
        study_tables.text(
            f"{found.state}, {finished} of {counts['of']} trials; there is no verdict before all are finished"
        )
    )
    if found.state == "stopped" and found.command:
        console.print(study_tables.text(f"go on with: {found.command}"), soft_wrap=True)


def compare(
    a: Annotated[str, typer.Argument(help="A study: folder, name in runs, or start of that name.")],
    b: Annotated[str, typer.Argument(help="Another.")],
    as_json: _AsJson = False,
) -> None:
    """Put two studies side by side: how their plans differ, and what each found of the arms both have.

    Example: [bold]paribus study compare ffn-stdlib-1a2b3c4d ffn-stdlib-5e6f7a8b[/bold]
    """
    from rich.console import Console

    from paribus.cli import study_tables
    from paribus.study.finished.archive import open_study
    from paribus.study.finished.compare import compare as side_by_side

    compared = side_by_side(open_study(a, runs=RUNS), open_study(b, runs=RUNS))
    if as_json:
        print(json.dumps(compared, indent=2))
        return
    console = Console(highlight=False, markup=False)
    names = _labels(compared["studies"])
    for heading, differs in compared["differs"].items():
        if differs:
            console.print(study_tables.difference_table(heading, differs, names))
    if not any(compared["differs"].values()):
        console.print(study_tables.text("The plans do not differ."))
    if compared["comparable"]:
        console.print(study_tables.findings_table(compared["arms"], dict(zip("ab", names, strict=True))))
    else:
        for reason in compared["because"]:
            console.print(study_tables.text(f"Not to be compared: {reason}."))
        for side, name in zip("ab", names, strict=True):
            console.print(study_tables.findings_table(compared["arms"], {side: name}))
    for name, only in zip(names, compared["only"], strict=True):
        if only:
            console.print(study_tables.text(f"only in {name}: {', '.join(only)}"))


def export(
    study: _StudyName,
    to: Annotated[str, typer.Option(help="csv, json, parquet, tensorboard or wandb.")],
    out: Annotated[
        Path | None,
        typer.Option(help="The file; for tensorboard and wandb the folder. Default: csv and json on stdout."),
    ] = None,
    curves: Annotated[
        bool, typer.Option("--curves", help="One row a point of each training curve, not one a trial.")
    ] = False,
) -> None:
    """Write a study's trials as a table for other tools, or as runs of TensorBoard or Weights & Biases.

    Example: [bold]paribus study export ffn-stdlib --to parquet --out trials.parquet[/bold]

    Example: [bold]paribus study export ffn-stdlib --to csv --curves > curves.csv[/bold]
    """
    from paribus.study.finished import export as tables
    from paribus.study.finished.archive import open_study
    from paribus.study.mirror import BACKENDS

    if to not in (known := [*tables.FORMS, *BACKENDS]):
        raise RequestError(f"a study cannot be exported to {to!r}; {nearest(to, known)}")
    if out is None and to not in ("csv", "json"):
        what = "folder" if to in BACKENDS else "file"
        raise RequestError(f"an export to {to} needs a {what} to be written to: --out {what.upper()}")
    if curves and to in BACKENDS:
        raise RequestError(f"--curves chooses the rows of a table; an export to {to} always has the curves")
    found = open_study(study, runs=RUNS)
    if out is not None and to in BACKENDS:
        _export_runs(found, to, out)
        return
    rows = tables.curve_rows(found) if curves else tables.trial_rows(found)
    if found.kind == "ladder":
        typer.echo("the trials of a ladder are those of its largest size", err=True)
    content = tables.encode(rows, to)
    if out is None:
        sys.stdout.buffer.write(content)
    else:
        tables.write(content, out)
        typer.echo(f"{len(rows)} rows: {out}", err=True)


def _export_runs(study: Study, backend: str, out: Path) -> None:
    from paribus.study.mirror import open_mirror, replay

    if out.exists() and not out.is_dir():
        raise RequestError(f"{out} is a file; an export to {backend} needs a folder")
    mirror = open_mirror(backend, out, study=study.name)
    try:
        shown = replay(study, mirror)
    finally:
        mirror.close()
    typer.echo(f"{shown} runs: {out / backend}", err=True)


def _row(study: Study) -> dict[str, Any]:
    """A study as `--json` gives it."""
    counts = study.counts
    return {
        "name": study.name,
        "folder": str(study.folder),
        "state": study.state,
        "reason": study.reason,
        "kind": study.kind,
        "data": {key: study.data.get(key) for key in ("name", "sha256")},
        "arms": list(study.arms),
        "trials": counts,
        "verdicts": {arm["name"]: arm["verdict"] for arm in study.results["arms"]} if study.results else None,
        "verdict": study.verdict,
        "command": study.command,
        "when": study.when.isoformat(timespec="seconds"),
    }


def _verdict(study: Study) -> RenderableType:
    """The table that the study ended with, from its results alone."""
    from paribus.cli import study_tables
    from paribus.cli.tables import ladder_table, verdict_table

    results = study_tables.printable(study.results)
    try:
        return (
            ladder_table(results)
            if study.kind == "ladder"
            else verdict_table(results, results["answer"] or "")
        )
    except (LookupError, TypeError, ValueError, AttributeError) as error:  # a section that nobody has checked
        raise RequestError(
            f"the study in {study.folder} cannot be shown: results.json is not what a study writes "
            f"({type(error).__name__}: {error})"
        ) from error


def _labels(studies: list[Mapping[str, Any]]) -> tuple[str, str]:
    """Names of two studies; their folders where the names are the same."""
    one, other = studies
    key = "folder" if one["name"] == other["name"] else "name"
    return one[key], other[key]
