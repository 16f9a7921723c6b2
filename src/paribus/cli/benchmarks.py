"""`paribus bench ffn|norm|loss|attention|step|memory|study|generate`: ours beside other code, in one run."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paribus.cores import MOST_THREADS
from paribus.errors import RequestError

if TYPE_CHECKING:
    from rich.table import Table

#: What `paribus bench` compares, and what a step of it is; kept here so that `--help` needs no torch.
NAMES = {
    "ffn": "a SwiGLU layer forward and backward, over its bare matrix products",
    "norm": "a norm forward and backward",
    "loss": "a head with its cross-entropy, over its bare matrix products",
    "attention": "causal attention forward and backward, by each backend",
    "step": "a training step of a 5 M model on all cores",
    "study": "a training step at a study's shape, one process a core",
    "memory": "peak memory of a training step above rest, at vocabulary 32,768",
    "generate": "greedy tokens after a prompt, over the bare products of each token",
    "generate-memory": "peak memory of generating above the model at rest",
    "tokenizer-train": "training byte-level BPE on 30 MB of source code",
    "tokenizer-encode": "encoding source code by one byte-level BPE",
}


def register(app: typer.Typer) -> None:
    """Give `app` a command for each benchmark."""
    for name, summary in NAMES.items():
        app.command(
            name,
            help=f"Measure {summary}.\n\nContenders are timed in turn in one run, under one allocator and one "
            "division of cores; `ours again` is a second copy of ours, so its distance from ours is the noise.\n\n"
            f"Example: [bold]paribus bench {name}[/bold]\n\n"
            f"Example: [bold]paribus bench {name} --shape help[/bold]",
        )(_command(name))


def _command(name: str) -> Any:
    def command(
        overrides: Annotated[
            list[str] | None, typer.Argument(help="Sizes to change, as option=value.", show_default=False)
        ] = None,
        shape: Annotated[str | None, typer.Option(help="Named sizes; `help` lists them.")] = None,
        rounds: Annotated[int, typer.Option(min=1, help="Rounds in which each is timed once.")] = 30,
        processes: Annotated[
            int | None, typer.Option(min=1, help="Processes that do the same at the same time.")
        ] = None,
        threads: Annotated[
            int | None, typer.Option(min=1, max=MOST_THREADS, help="Threads of each process.")
        ] = None,
        only: Annotated[
            str | None, typer.Option(help="Words by comma: time only what has one in its name, and ours.")
        ] = None,
        out: Annotated[
            Path | None, typer.Option(help="Write a page too, FILE.md, with a plot FILE.svg beside it.")
        ] = None,
        as_json: Annotated[
            bool, typer.Option("--json", help="Print one JSON document on stdout; everything else on stderr.")
        ] = False,
    ) -> None:
        _run(
            name,
            overrides or [],
            shape=shape,
            rounds=rounds,
            processes=processes,
            threads=threads,
            only=[word.strip() for word in only.split(",")] if only else [],
            out=out,
            as_json=as_json,
        )

    return command


def _run(
    name: str,
    overrides: list[str],
    *,
    shape: str | None,
    rounds: int,
    processes: int | None,
    threads: int | None,
    only: list[str],
    out: Path | None,
    as_json: bool,
) -> None:
    from paribus.bench.measure import benchmark
    from paribus.bench.page import write
    from paribus.bench.suites import SUITES
    from paribus.cli.display import Display

    display, suite = Display(), SUITES[name]
    if shape == "help":
        for known, options in suite.shapes.items():
            display.say(f"{known}: " + " ".join(f"{key}={value}" for key, value in options.items()))
        return
    if out is not None and (out.suffix != ".md" or not out.absolute().parent.is_dir()):
        raise RequestError(f"--out is a file FILE.md in a folder that exists; it is {out}")
    options = suite.options(shape, dict(override(word) for word in overrides))
    with display.turns() as told:
        try:
            document = benchmark(
                suite, options, rounds=rounds, processes=processes, threads=threads, only=only, told=told
            )
        except KeyboardInterrupt:
            display.say("stopped; nothing was written")
            raise typer.Exit(130) from None
    if out is not None:
        write(document, out)
        display.say(f"page: {out}")
    if as_json:
        print(json.dumps(document, indent=2, allow_nan=False))
    else:
        display.show(table(document))
    if all(row["unavailable"] for row in document["rows"]):
        raise typer.Exit(1)


def override(word: str) -> tuple[str, Any]:
    """A size that is changed, from option=value. Raises `RequestError` for other words."""
    key, equals, value = word.partition("=")
    if not equals:
        raise RequestError(f"sizes are changed by option=value, as in d_model=512; this is {word!r}")
    return key, int(value) if value.lstrip("-").isdigit() else value


def table(document: dict[str, Any]) -> Table:
    """The result for a terminal."""
    from rich import box
    from rich.table import Table

    from paribus.bench.page import cells, headings

    title = f"{document['summary']}: " + " ".join(f"{k}={v}" for k, v in document["options"].items())
    shown = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title=title)
    # Headings are broken by hand, so that numbers are not and names keep most of a narrow terminal.
    for number, heading in enumerate(headings(document)):
        words = "\n".join(textwrap.wrap(heading, 10, break_long_words=False))
        shown.add_column(words, justify="right" if number else "left", no_wrap=number > 0, overflow="fold")
    for row in document["rows"]:
        name, first, *rest = cells(document, row)
        shown.add_row(*([f"{name}: {first}"] if row["unavailable"] else [name, first, *rest]))
    return shown
