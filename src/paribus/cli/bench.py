"""`paribus bench`: measures of Paribus itself; how fast it is, and how often its verdicts are wrong."""

from __future__ import annotations

import json
import os
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paribus.cli import benchmarks
from paribus.errors import RequestError
from paribus.files.appearing import write_whole

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from paribus.cli.display import Display

app = typer.Typer(
    name="bench",
    no_args_is_help=True,
    rich_markup_mode="rich",
    help=(
        "Measures of Paribus itself.\n\nExample: [bold]paribus bench ffn[/bold]\n\n"
        "Example: [bold]paribus bench verdict[/bold]"
    ),
)

_SIMULATIONS = 20_000
_PLAIN_EVERY = 10.0  # seconds between plain progress lines


benchmarks.register(app)


@app.callback()
def _root() -> None:
    pass


@app.command("verdict")
def verdict(
    bank: Annotated[
        Path | None,
        typer.Option(
            help="Folder of a finished study with controls and many seeds, to draw real studies from."
        ),
    ] = None,
    simulations: Annotated[
        int, typer.Option(help="Studies simulated in each setting; fewer make the limits wider.")
    ] = _SIMULATIONS,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes; they do not change the numbers. Default: one a core."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all that is drawn.")] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document on stdout; everything else on stderr.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Write the numbers as a page, FILE.md, too.")] = None,
) -> None:
    """Count how often verdicts are false, and how often true differences are found.

    Simulated studies of known truth go through the code that judges real ones; with --bank, real losses too:
    the seeds of one long study, parted at random into many short ones. The exit code is 1 if the upper 95 %
    limit of the false-verdict rate is above 6 % in any setting that is held to it, or if the handicap is found
    in fewer than 90 % of the 10-seed studies from the bank.

    Example: [bold]paribus bench verdict[/bold]

    Example: [bold]paribus bench verdict --bank runs/bank --out docs/calibration.md[/bold]

    A bank is made by: [bold]paribus study ffn --arms relu --seeds 40 --out runs/bank[/bold]
    """
    from paribus.cli.display import Display
    from paribus.cores import usable_processes
    from paribus.study.calibration import simulation as calibration
    from paribus.study.calibration.bank import read_bank, resample, studies_in
    from paribus.study.calibration.page import page, verdict_of
    from paribus.study.calibration.parallel import Processes

    calibration.check_simulations(simulations)
    if out is not None:
        _check_writable(out)
    losses = read_bank(bank) if bank is not None else None
    display, workers, began = Display(), usable_processes(workers), time.monotonic()
    plan = [(setting, simulations) for setting in calibration.SETTINGS]
    # Power is shown, not held to a limit: a quarter of the studies is exact enough.
    plan += [(setting, max(simulations // 4, calibration.FEWEST)) for setting in calibration.POWER_SETTINGS]
    total = sum(studies for _, studies in plan) + (studies_in(losses) if losses else 0)
    drawn = None
    try:
        display.say(f"judging {total:,} studies in {workers} process{'es' if workers > 1 else ''}")
        with _progress(display, total) as advance, Processes(workers) as processes:
            rows = [
                calibration.simulate(
                    setting, studies, seed=seed, processes=processes, progress=advance(setting.name)
                )
                for setting, studies in plan
            ]
            if losses is not None:
                drawn = resample(losses, seed=seed, processes=processes, progress=advance("bank"))
    except KeyboardInterrupt:
        display.say("stopped; nothing was written")
        raise typer.Exit(130) from None
    settings, power = rows[: len(calibration.SETTINGS)], rows[len(calibration.SETTINGS) :]
    passed, sentences = verdict_of(settings, drawn)
    document = {
        "command": _command(bank, simulations, seed, out),
        "simulations": simulations,
        "seed": seed,
        "workers": workers,
        "seconds": time.monotonic() - began,
        "passed": passed,
        "sentences": sentences,
        "settings": settings,
        "power": power,
        "bank": drawn,
        "ran_on": _ran_on(),
    }
    if out is not None:
        write_whole(out, page(document).encode())
        display.say(f"page: {out}")
    if as_json:
        print(json.dumps(document, indent=2, allow_nan=False))
    else:
        display.show(_table(document))
    if not passed:
        raise typer.Exit(1)


def _command(bank: Path | None, simulations: int, seed: int, out: Path | None) -> str:
    """The command that gives these numbers again."""
    words = ["paribus", "bench", "verdict"]
    words += ["--bank", str(bank)] if bank else []
    words += ["--simulations", str(simulations)] if simulations != _SIMULATIONS else []
    words += ["--seed", str(seed)] if seed else []
    return shlex.join(words + (["--out", str(out)] if out else []))


def _ran_on() -> dict[str, Any]:
    import numpy
    import scipy

    from paribus.study.environment import describe

    return describe() | {"numpy": numpy.__version__, "scipy": scipy.__version__}


def _check_writable(out: Path) -> None:
    """Said before minutes of work, not after."""
    if out.is_dir():
        raise RequestError(f"--out {out} is a folder; give a file, such as {out / 'calibration.md'}")
    if not out.absolute().parent.is_dir():
        raise RequestError(f"--out {out} cannot be written: there is no folder {out.parent}")
    if not os.access(out if out.exists() else out.absolute().parent, os.W_OK):
        raise RequestError(f"--out {out} cannot be written: permission denied")


@contextmanager
def _progress(display: Display, total: int) -> Iterator[Callable[[str], Callable[[int], None]]]:
    """Yields what makes, of the name of a setting, a listener for studies done: a bar or plain lines."""
    if not display.errors.is_terminal:
        plain = _Plain(display.say, total)
        yield lambda name: lambda more: plain.done(name, more)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    with Progress(
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("studies"),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
        console=display.errors,
        transient=True,
    ) as bar:
        task = bar.add_task("", total=total)
        yield lambda name: lambda more: bar.update(task, advance=more, description=name)


class _Plain:
    """A line every ten seconds."""

    def __init__(self, say: Callable[[str], None], total: int) -> None:
        self._say, self._total, self._done = say, total, 0
        self._began = self._said = time.monotonic()

    def done(self, name: str, more: int) -> None:
        self._done += more
        now = time.monotonic()
        if now - self._said < _PLAIN_EVERY:
            return
        self._said = now
        speed = self._done / (now - self._began)
        left = (self._total - self._done) / speed
        self._say(
            f"{self._done:,} of {self._total:,} studies, {speed:,.0f} a second, {left:.0f} s left: {name}"
        )


def _table(document: Mapping[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    parts = [_simulated(document["settings"]), _power(document["power"])]
    if document["bank"]:
        parts.append(_drawn(document["bank"]))
    mark = "pass" if document["passed"] else "FAIL"
    return Group(*parts, Text(f"{mark}: {' '.join(document['sentences'])}"))


def _simulated(settings: Sequence[Mapping[str, Any]]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from paribus.study.calibration.simulation import FALSE_LIMIT

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title="False verdicts in simulated studies")
    for heading in ("setting", "seeds", "studies", "false", "rate", "at most", ""):
        table.add_column(heading, justify="left" if heading in ("setting", "") else "right", no_wrap=True)
    for row in settings:
        within = row["false_upper"] <= FALSE_LIMIT
        table.add_row(
            row["name"],
            ", ".join(str(look["seeds"]) for look in row["looks"]),
            f"{row['studies']:,}",
            f"{row['false']:,}",
            f"{row['false_rate']:.2%}",
            f"{row['false_upper']:.2%}",
            (Text("pass") if within else Text("FAIL", style="red")) if row["held"] else "not held to it",
        )
    return table


def _power(power: Sequence[Mapping[str, Any]]) -> Table:
    names = [f"{abs(item['difference']):.0f} sd" for item in power[0]["found"]]
    rows = [[row["name"], *(f"{item['rate']:.1%}" for item in row["found"])] for row in power]
    return _found("True differences found in simulated studies", ["seeds", *names], rows)


def _found(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(*headings, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title=title)
    for row in rows:
        table.add_row(*row)
    return table


def _drawn(bank: Mapping[str, Any]) -> Table:
    from paribus.study.calibration.page import headings, rate

    rows = [
        [str(row["seeds"]), *(rate(item, digits=0) for item in (row["false"], *row["found"]))]
        for row in bank["sizes"]
    ]
    title = f"Verdicts in studies drawn from {bank['folder']}"
    return _found(title, ["seeds", "placebo, false", *headings(bank)], rows)
