"""`paribus verify`: every part against its oracle, on this machine."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from paribus.registry import Card
    from paribus.verify.comparison import Check


def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SLOT|NAME]...", help="Slots or parts; everything if none is named."),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(help="Where to compute, such as cpu or cuda:0. Default: cuda if there is one."),
    ] = None,
    dtype: Annotated[
        str, typer.Option(help="float64, float32, bfloat16, float16, or all of the first three.")
    ] = "float32",
    compiled: Annotated[
        bool, typer.Option("--compile", help="Run every part through torch.compile; takes many minutes.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document on stdout; everything else on stderr.")
    ] = False,
) -> None:
    """Hold the parts to float64 oracles: outputs, and gradients by input and parameters.

    Run it after changing torch, a driver or a machine. The exit code is 1 if any check fails. A part of your
    own has no oracle and is listed as such.

    Example: [bold]paribus verify[/bold]

    Example: [bold]paribus verify ffn rope --dtype bfloat16 --device cuda[/bold]
    """
    import torch

    from paribus.cli.display import Display
    from paribus.verify.run import chosen, setting_of
    from paribus.verify.run import verify as run

    display = Display()
    cards = chosen(names or [])
    dtypes = ("float64", "float32", "bfloat16") if dtype == "all" else (dtype,)
    settings = [setting_of(device, name, compiled=compiled) for name in dtypes]
    began = time.monotonic()
    rows: list[tuple[str, Check]] = []
    without: list[Card] = []
    with display.counted("verifying", total=len(cards) * len(settings)) as progress:
        for name, setting in zip(dtypes, settings, strict=True):
            checks, without = run(cards, setting, progress=lambda card: progress(f"{card.slot} {card.name}"))
            rows += [(name, check) for check in checks]
    failed = sum(not check.passed for _, check in rows)
    where = str(settings[0].device)
    document = {
        "torch": torch.__version__,
        "device": where,
        "device_name": torch.cuda.get_device_name(settings[0].device) if where.startswith("cuda") else "cpu",
        "dtypes": list(dtypes),
        "compiled": compiled,
        "seconds": time.monotonic() - began,
        "passed": not failed,
        "checks": [
            {
                "slot": check.slot,
                "part": check.part,
                "check": check.what,
                "dtype": name,
                "error": None if check.reason else check.error,
                "bound": check.bound,
                "pass": check.passed,
                "reason": check.reason,
            }
            for name, check in rows
        ],
        "without_oracle": [f"{card.slot} {card.name}" for card in without],
    }
    if as_json:
        print(json.dumps(document, indent=2))
    else:
        display.show(_table(rows))
        parts = len({(check.slot, check.part) for _, check in rows})
        said = "all pass" if not failed else f"{failed} FAIL"
        display.say(
            f"{parts} parts, {len(rows)} checks, {said}: torch {torch.__version__}, {where}, {', '.join(dtypes)}, "
            f"{document['seconds']:.0f} s"
        )
        for card in without:
            display.say(f"{card.slot} {card.name}: no oracle, nothing to hold it to")
    if failed:
        raise typer.Exit(1)


def _table(rows: list[tuple[str, Check]]) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table("slot", "part", "check", "dtype", "error", "bound", "")
    for dtype, check in rows:
        error = escape(check.reason) if check.reason else f"{check.error:.1e}"
        verdict = "pass" if check.passed else "[red]FAIL[/red]"
        table.add_row(check.slot, check.part, check.what, dtype, error, f"{check.bound:.0e}", verdict)
    return table
