"""`paribus study reproduce`: one run again, against what it gave."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from paribus.errors import WorkError


def reproduce(
    run_id: Annotated[str, typer.Argument(help="The run's id, or its beginning; results.csv lists them.")],
    folder: Annotated[Path, typer.Option("--in", help="Where to look for the study.")] = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Run one trial of a study again and compare: bit for bit here, within 0.01 bits per byte elsewhere.

    Example: [bold]paribus study reproduce 3f9c2a --in runs[/bold]
    """
    from paribus.cli.display import Display
    from paribus.study import reproduce as study

    display = Display()
    run = study.find_run(run_id, folder)
    display.say(f"running {run.trial.name} of {run.folder} again")
    found = study.reproduce(run)
    if as_json:
        print(json.dumps(found.to_dict(), indent=2))
    else:
        differs = f"; other than then: {', '.join(found.elsewhere)}" if found.elsewhere else ""
        how = "the same bits" if found.same else "other bits"
        display.out.print(f"{found.run_id}: {found.then} then, {found.now} now, {how}{differs}")
    if not found.holds:
        raise WorkError(
            f"the run {found.run_id} did not come out again: {found.then} bits per byte then, {found.now} now"
        )
