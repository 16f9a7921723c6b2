"""`paribus plot`: the figures that explain parts."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any

import typer

from paribus.errors import RequestError


def plot(
    name: Annotated[str | None, typer.Argument(help="The figure; none lists them all.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="File to write, .svg, .png or .pdf. Default: NAME.svg.")
    ] = None,
    names: Annotated[
        str | None, typer.Option(help="activations, rope-scalings: the parts to draw, by comma.")
    ] = None,
    betas: Annotated[str | None, typer.Option(help="swish: the betas to draw, by comma.")] = None,
    heads: Annotated[int | None, typer.Option(min=1, max=64, help="alibi: the number of heads.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the numbers that are drawn, and draw nothing.")
    ] = False,
) -> None:
    """Draw a figure: activations and derivatives, the GLU as matrices, RoPE, ALiBi, T5 buckets, norms, depth.

    Example: [bold]paribus plot rope --out rope.png[/bold]

    Example: [bold]paribus plot activations --names gelu,silu,mish[/bold]
    """
    from rich.console import Console
    from rich.table import Table

    from paribus.figures.catalogue import FIGURES, drawing
    from paribus.figures.style import save

    if name is None:
        if as_json:
            print(json.dumps({each.name: each.caption for each in FIGURES.values()}, indent=2))
            return
        table = Table("figure", "shows", "options")
        for each in FIGURES.values():
            table.add_row(each.name, each.caption, ", ".join(f"--{option}" for option in each.options))
        Console(highlight=False).print(table)
        return
    chosen = drawing(name)
    given: dict[str, Any] = {
        "names": [word.strip() for word in names.split(",")] if names else None,
        "betas": _numbers(betas),
        "heads": heads,
    }
    given = {option: value for option, value in given.items() if value is not None}
    for option in given:
        if option not in chosen.options:
            raise RequestError(f"the figure {name} has no --{option}")
    figure, data = chosen.draw(**given)
    if as_json:
        print(json.dumps(data))
        return
    path = out or Path(f"{name}.svg")
    save(figure, path)
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"{chosen.caption} {path}", markup=False)


def _numbers(text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        found = [float(word) for word in text.split(",")]
    except ValueError:
        found = [math.nan]
    if not all(map(math.isfinite, found)):
        raise RequestError(f"--betas takes numbers by comma, as in 0,1,4; it is {text!r}")
    return found
