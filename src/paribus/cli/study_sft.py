"""`paribus study sft`: what more fine-tuning data would be worth."""

from __future__ import annotations

import json
import shlex
import sys
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paribus.cli.json_option import JsonOption
from paribus.cores import MOST_THREADS
from paribus.errors import RequestError

if TYPE_CHECKING:
    from rich.table import Table

_RUNS = Path("runs")


def study_sft(
    data: Annotated[Path, typer.Option(help="A folder that paribus data sft has made.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...", help="Settings of the runs, such as rate=1e-4 batch_size=8."
        ),
    ] = None,
    finetune: Annotated[
        str | None, typer.Option(help="The checkpoint to fine-tune. Default: a model from scratch.")
    ] = None,
    shares: Annotated[str, typer.Option(help="Shares of the training rows, rising.")] = "1/8,1/4,1/2,1",
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of each share; intervals are over them.")] = 3,
    passes: Annotated[int, typer.Option(min=1, help="How often each share is read.")] = 3,
    out: Annotated[Path | None, typer.Option(help="Folder of the study. Default: runs/sft-DATA.")] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, max=MOST_THREADS, help="Threads of torch. Default: one a core.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Fine-tune on an eighth, a quarter, half and all of the data, and compare the loss on held-out answers.

    Each share is drawn and trained on from every seed, for the same number of passes. Stop it at any time: the same
    command goes on.

    Example: [bold]paribus study sft --finetune models/small --data chats --seeds 3[/bold]

    Example: [bold]paribus study sft --finetune models/small --data chats --shares 1/4,1 rate=5e-4[/bold]
    """
    from paribus.cli.display import Display
    from paribus.study.single import amounts

    display = Display()
    asked = amounts.Amounts(
        options={"data": str(data), "finetune": finetune},
        overrides=overrides or [],
        shares=_fractions(shares),
        seeds=seeds,
        passes=passes,
    )
    folder = out or _RUNS / f"sft-{data.absolute().name}"
    display.say(f"{len(asked.shares)} shares x {seeds} seeds, {passes} passes each; study in {folder}")
    try:
        with display.trials() as listener:
            results = amounts.run(
                asked,
                folder,
                listener=listener,
                say=display.say,
                threads=threads,
                command=shlex.join(["paribus", *sys.argv[1:]]),
            )
    except KeyboardInterrupt:
        display.say("stopped; the same command goes on from here")
        raise typer.Exit(130) from None
    if as_json:
        print(json.dumps(results, indent=2))
    else:
        display.show(_table(results))
    display.say(f"plot: {folder / amounts.PLOT}")


def _fractions(text: str) -> tuple[Fraction, ...]:
    try:
        return tuple(Fraction(word.strip()) for word in text.split(","))
    except (ValueError, ZeroDivisionError):
        raise RequestError(f"--shares takes shares by comma, as in 1/8,1/4,1/2,1; it is {text!r}") from None


def _table(results: dict[str, Any]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("share", "tokens", "loss-bearing", "bits per byte", "gain over the share before"):
        table.add_column(heading, justify="right")
    if results["before"] is not None:
        table.add_row("0", "0", "0", f"{results['before']:.4f}", "")
    for point in results["points"]:
        counts = (f"{point['tokens']:,}", f"{point['loss_bearing']:,}")
        table.add_row(point["share"], *counts, _interval(point["val_bpb"]), _interval(point["gain"]))
    table.caption = "95 % intervals over seeds, the draw of the share among what differs"
    return table


def _interval(found: dict[str, Any] | None) -> str:
    if found is None:
        return ""
    if found["ci95"] is None:
        return f"{found['mean']:.4f}"
    low, high = found["ci95"]
    return f"{found['mean']:.4f} [{low:.4f}, {high:.4f}]"
