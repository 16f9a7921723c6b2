"""The command line: one thin file per command. Nothing here, nor `--help`, imports torch."""

from __future__ import annotations

import errno
import io
import os
import sys

import typer

from paribus.cli import (
    bench,
    catalog,
    convert,
    data,
    explain,
    generate,
    inspecting,
    plot,
    study,
    tokenizer,
    train,
    verify,
)
from paribus.errors import ParibusError, RequestError, shown

app = typer.Typer(
    name="paribus",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help=(
        "Transformer language models from interchangeable parts, and fair studies of which part is better on "
        "your own text, everything else equal.\n\n"
        "Example: [bold]paribus study ffn --data my.txt[/bold]"
    ),
)
app.add_typer(study.app, name="study")
app.command("train")(train.train)
app.command("explain")(explain.explain)
app.command("generate")(generate.generate)
app.command("convert")(convert.convert)
app.add_typer(catalog.app, name="catalog")
app.command("plot")(plot.plot)
app.add_typer(data.app, name="data")
app.add_typer(tokenizer.app, name="tokenizer")
app.add_typer(bench.app, name="bench")
app.command("verify")(verify.verify)
app.command("inspect")(inspecting.inspect)
app.command("diff")(inspecting.diff)


def _version(wanted: bool) -> None:
    if wanted:
        import paribus

        typer.echo(f"paribus {paribus.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and stop."
    ),
) -> None:
    together = os.environ.get("WORLD_SIZE", "1") if "TORCHELASTIC_RUN_ID" in os.environ else "1"
    if together != "1" and context.invoked_subcommand != "train":
        raise RequestError(
            f"torchrun has started {together} processes, and paribus {context.invoked_subcommand} works in one (a study "
            "starts its own): torchrun is for paribus train"
        )


_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
_OF_A_NAME = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EACCES)


def main() -> None:
    """Entry point: a user's mistake is one sentence on stderr, a bug of ours keeps its traceback."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that is not UTF-8 shows ? for what it does not have.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        app()
    except ParibusError as error:
        typer.secho(f"paribus: {error}", err=True, fg="red")
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.exit(1)  # whoever read our output is gone
    except OSError as error:
        of_a_name = error.errno in _OF_A_NAME and error.filename
        if error.errno not in _OF_THE_DISK and not of_a_name:
            raise
        where = f" ({shown(error.filename, at_most=120)})" if error.filename else ""
        kept = "" if of_a_name else "; nothing that was finished is lost"
        typer.secho(f"paribus: {error.strerror}{where}{kept}", err=True, fg="red")
        sys.exit(1)
