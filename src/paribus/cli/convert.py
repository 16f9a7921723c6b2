"""`paribus convert`: a checkpoint written anew, in another family's layout or our own."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from paribus.cli.json_option import JsonOption
from paribus.errors import RequestError, nearest

DTYPES = ("float32", "bfloat16", "float16")


def convert(
    path: Annotated[Path, typer.Argument(help="The folder of a checkpoint.")],
    out: Annotated[Path, typer.Argument(help="The folder to write; it must not be there yet.")],
    layout: Annotated[
        str, typer.Option("--to", help="transformers, paribus, or the name of a family such as llama.")
    ] = "transformers",
    dtype: Annotated[
        str | None, typer.Option(help=f"Of the weights: {', '.join(DTYPES)}. Default: as they are.")
    ] = None,
    shard_size: Annotated[float, typer.Option(help="Most GB a file.")] = 5.0,
    own_parts: Annotated[
        bool, typer.Option(help="Import the parts that a model of yours has from files.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Load a checkpoint and write it again: to transformers' layout, to our own, or as another family.

    Example: [bold]paribus convert runs/mine/model models/mine --to llama --dtype bfloat16[/bold]
    """
    import torch

    from paribus.cli.warned import warned
    from paribus.families.family import families
    from paribus.families.loading import load
    from paribus.families.saving import free, save

    if dtype is not None and dtype not in DTYPES:
        raise RequestError(f"--dtype is one of {', '.join(DTYPES)}; it is {dtype!r}")
    if layout not in ("transformers", "paribus", *families()):
        raise RequestError(
            f"--to is transformers, paribus or a family; it is {layout!r}: "
            f"{nearest(layout, ('transformers', 'paribus', *families()))}"
        )
    if not 0 < shard_size < math.inf:
        raise RequestError(f"--shard-size is a number of GB above zero; it is {shard_size}")
    free(out)  # told before the weights are read, which may take minutes
    with warned():
        model = load(path, dtype=getattr(torch, dtype) if dtype else None, own_parts=own_parts)
    saved = save(
        model,
        out,
        layout="paribus" if layout == "paribus" else "transformers",
        family=layout if layout in families() else None,
        shard_bytes=max(1, int(shard_size * 1e9)),
    )
    if as_json:
        print(json.dumps({**asdict(saved), "path": str(saved.path)}, indent=2))
        return
    kind = f"a {saved.family} that transformers loads" if saved.family else "our own format"
    typer.echo(f"{saved.path}: {kind}, {saved.num_bytes / 1e9:,.2f} GB in {len(saved.files)} files")
