"""`paribus study`: from a question to a verdict and a report."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from paribus.errors import RequestError, nearest

_KINDS = ("ffn",)


def study(
    what: Annotated[str, typer.Argument(help="What is compared: ffn (feed-forward layers).")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...", help="Settings, such as model.d_model=192 train.tokens=2e6."
        ),
    ] = None,
    arms: Annotated[
        str | None,
        typer.Option(help="Parts to compare, by comma; also my_file.py:MyPart. See `paribus catalog`."),
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(help="The arm that the others are compared with. Default: relu.")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(help="Seeds for every arm and rate; a verdict needs 4. Default: 4.")
    ] = None,
    base_seed: Annotated[int | None, typer.Option(help="The first seed. Default: 0.")] = None,
    rates: Annotated[
        str | None,
        typer.Option(help="Common grid of peak learning rates, at least three, evenly spaced in log."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="stdlib, or a text file, a folder, .jsonl, .jsonl.gz or .parquet. Default: stdlib."
        ),
    ] = None,
    text_field: Annotated[
        str | None,
        typer.Option(help="The field of .jsonl or .parquet rows that holds the text. Default: text."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the study. Default: runs/ffn-DATA-HASH.")
    ] = None,
    preset: Annotated[
        str, typer.Option(help="quick (a minute), default (five minutes) or paper (hours).")
    ] = "default",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Trials at a time. Default: one a core, as memory allows.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads of each worker. Default: cores divided by workers.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan and the minutes it would take, and stop.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document on stdout; everything else on stderr.")
    ] = False,
) -> None:
    """Train small models that differ in one part only, and say which part is better.

    Every arm runs at every learning rate from every seed, with equal parameters, equal batches and equal
    starts; a placebo and a handicap check the study itself. Stop it at any time: the same command goes on.

    Example: [bold]paribus study ffn --arms relu,swiglu --data my.txt --seeds 8[/bold]

    Example: [bold]paribus study ffn model.d_model=192 train.tokens=2e6 --dry-run[/bold]
    """
    if what not in _KINDS:
        raise RequestError(f"there is no study of {what!r}; {nearest(what, _KINDS)}")
    from paribus.cli.display import Display, plan_table, verdict_table
    from paribus.study import session
    from paribus.study.report import answer
    from paribus.study.settings import resolve

    display = Display()
    settings = resolve(
        preset,
        {
            "arms": arms.split(",") if arms is not None else None,
            "baseline": baseline,
            "seeds": seeds,
            "base_seed": base_seed,
            "rates": _numbers(rates),
            "data": data,
            "text_field": text_field,
        },
        overrides or [],
    )
    with display.bytes("reading text") as reading:
        plan, dataset = session.make(settings, progress=reading)
    division = session.divide(plan, workers=workers, threads=threads)
    if dry_run:
        display.say("measuring the speed of this machine on the baseline")
        planned = session.dry_run(plan, dataset, division=division)
        _print(planned, plan_table(planned), as_json=as_json, display=display)
        return
    folder = out or Path("runs") / f"{plan.slot}-{Path(dataset.name).stem}-{plan.sha256[:8]}"
    display.say(
        f"{len(plan.arms)} arms (controls: {', '.join(plan.controls)}) x {len(plan.rates)} rates x "
        f"{len(plan.seeds)} seeds on {dataset.name}, {division.workers} workers; study in {folder}"
    )
    try:
        with display.trials() as listener:
            results, files = session.run(
                plan, dataset, folder, division=division, command=_command(), listener=listener
            )
    except KeyboardInterrupt:
        display.say("stopped; the same command goes on from here")
        raise typer.Exit(130) from None
    _print(results, verdict_table(results, answer(results)), as_json=as_json, display=display)
    display.say(f"report: {files['report.html']}")
    if (failure := session.failed_trials(results)) is not None:
        raise failure


def _numbers(text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        raise RequestError(f"--rates takes numbers by comma, as in 1e-3,2e-3,4e-3; it is {text!r}") from None


def _command() -> str:
    return shlex.join(["paribus", *sys.argv[1:]])


def _print(document: dict[str, Any], table: Any, *, as_json: bool, display: Any) -> None:
    if as_json:
        print(json.dumps(document, indent=2, allow_nan=False))
    else:
        display.show(table)
