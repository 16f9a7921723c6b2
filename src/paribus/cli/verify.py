"""`paribus verify`: every part against its oracle, on this machine."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import torch
    from rich.table import Table

    from paribus.registry import Card
    from paribus.verify.checks import Check

_ALL = ("float64", "float32", "bfloat16")


def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SLOT|NAME]...",
            help="Slots, parts, or `model` for whole models; everything if none is named.",
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(help="Where to compute, such as cpu or cuda:0. Default: cuda if there is one."),
    ] = None,
    dtype: Annotated[
        str, typer.Option(help="float64, float32, bfloat16, float16, or all of the first three.")
    ] = "float32",
    compiled: Annotated[
        bool,
        typer.Option(
            "--compile", help="Each part's plain use through torch.compile too; takes many minutes."
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document on stdout; everything else on stderr.")
    ] = False,
) -> None:
    """Hold the parts to float64 oracles: outputs, and gradients by input and parameters.

    Run it after changing torch, a driver or a machine. The table shows each part's worst case and all that fail,
    --json every check. The exit code is 1 if any fails. A part of your own has no oracle and is listed as such.

    Example: [bold]paribus verify[/bold]

    Example: [bold]paribus verify ffn rope --dtype bfloat16 --device cuda[/bold]
    """
    import torch

    from paribus.cli.display import Display
    from paribus.verify.run import chosen, setting_of
    from paribus.verify.run import verify as run

    display = Display()
    cards = chosen(names or [])
    dtypes = _ALL if dtype == "all" else (dtype,)
    settings = [setting_of(device, name, compiled=compiled) for name in dtypes]
    began = time.monotonic()
    rows: list[tuple[str, Check]] = []
    without: list[Card] = []
    with display.counted("verifying", total=len(cards) * len(settings)) as progress:
        for name, setting in zip(dtypes, settings, strict=True):
            checks, without = run(cards, setting, progress=lambda card: progress(f"{card.slot} {card.name}"))
            rows += [(name, check) for check in checks]
    seconds = time.monotonic() - began
    failed = sum(not check.passed for _, check in rows)
    where = settings[0].device
    if as_json:
        document = {
            "torch": torch.__version__,
            "device": str(where),
            "device_name": _device_name(where),
            "dtype": dtype,
            "compiled": compiled,
            "seconds": seconds,
            "passed": not failed,
            "checks": [_plain(name, check) for name, check in rows],
            "without_oracle": [f"{card.slot} {card.name}" for card in without],
        }
        print(json.dumps(document, indent=2, allow_nan=False))
    else:
        if rows:
            display.show(_table(rows))
        for card in without:
            display.say(f"{card.slot} {card.name}: no oracle, nothing to hold it to")
        parts = len({(check.slot, check.part) for _, check in rows})
        verdict = f"{failed} FAIL" if failed else "all pass" if rows else "nothing to verify"
        display.say(
            f"{parts} parts, {len(rows)} checks, {verdict} on torch {torch.__version__}, {where} "
            f"({_device_name(where)}), {', '.join(dtypes)}, in {seconds:.0f} s"
        )
    if failed:
        raise typer.Exit(1)


def _device_name(device: torch.device) -> str:
    import torch

    from paribus.study.environment import describe

    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(describe()["cpu"])


def _plain(dtype: str, check: Check) -> dict[str, Any]:
    return {
        "slot": check.slot,
        "part": check.part,
        "check": check.what,
        "dtype": dtype,
        "error": check.error if math.isfinite(check.error) else None,
        "bound": check.bound,
        "pass": check.passed,
        "reason": check.reason,
    }


def _table(rows: Sequence[tuple[str, Check]]) -> Table:
    """Of each part, dtype and kind of check the worst, and whatever fails."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    several = len({dtype for dtype, _ in rows}) > 1
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("slot", "part", "worst check", *(["dtype"] if several else []), "error", "bound", ""):
        table.add_column(heading, no_wrap=heading != "worst check")
    for dtype, check in _worst(rows):
        what = f"{check.what}: {check.reason}" if check.reason else check.what
        numbers = ("", "") if check.reason else (f"{check.error:.2e}", f"{check.bound:.2e}")
        verdict = Text("pass") if check.passed else Text("FAIL", style="red")
        table.add_row(check.slot, check.part, what, *([dtype] if several else []), *numbers, verdict)
    return table


def _worst(rows: Iterable[tuple[str, Check]]) -> Iterable[tuple[str, Check]]:
    groups: dict[tuple[str, ...], list[Check]] = {}
    for dtype, check in rows:
        groups.setdefault((check.slot, check.part, dtype, check.kind), []).append(check)
    for (_, _, dtype, _), checks in groups.items():
        failing = [check for check in checks if not check.passed]
        for check in failing or [max(checks, key=lambda check: check.share)]:
            yield dtype, check
