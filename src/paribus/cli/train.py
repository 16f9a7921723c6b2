"""`paribus train`: one model on your own text, from named parts, like a real one, or from its weights."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paribus.cli.json_option import JsonOption
from paribus.cli.text_options import DataOption, TextFieldOption
from paribus.cores import MOST_THREADS, settle_waiting

if TYPE_CHECKING:
    from paribus.study.single.preparing import Prepared

_RUNS = Path("runs")  # where runs go that were not told where


def train(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Settings, such as ffn=swiglu d_model=256 tokens=5e6."),
    ] = None,
    data: DataOption = None,
    text_field: TextFieldOption = None,
    tokenizer: Annotated[
        str | None,
        typer.Option(
            help="bytes, or the folder or file of a tokenizer. Default: bytes, or the checkpoint's own with --finetune."
        ),
    ] = None,
    like: Annotated[
        str | None,
        typer.Option(help="A checkpoint's folder or config.json whose anatomy the model is to have."),
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(help="With --like: how many parameters, such as 10M or 500K. Default: its own sizes."),
    ] = None,
    finetune: Annotated[
        str | None, typer.Option(help="A checkpoint whose weights the training begins from.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="A YAML file of settings, such as the config.yaml of another run.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of draws and batches. Default: 0.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run. Default: runs/train-DATA-HASH.")
    ] = None,
    resume: Annotated[
        bool, typer.Option(help="Go on with the run in the folder, or begin again in its place.")
    ] = True,
    checkpoint_seconds: Annotated[
        float, typer.Option(min=0, help="How often a checkpoint is written; a kill loses as much.")
    ] = 30.0,
    threads: Annotated[
        int | None,
        typer.Option(min=1, max=MOST_THREADS, help="Threads of torch. Default: one a core, or as it began."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Train one model, and save it where it can be loaded from.

    The model is made of named parts, or like a real one at any size, or a real one itself. Stop it at any time: the
    same command goes on, and ends with the same bits. Under torchrun several GPUs, processes or machines train it together.

    Example: [bold]paribus train --data my.txt ffn=swiglu num_layers=6 d_model=192 tokens=4e6[/bold]

    Example: [bold]paribus train --like models/Qwen3-0.6B --scale 2M ffn=relu2[/bold]

    Example: [bold]paribus train --finetune runs/first/model --data mine/ --out runs/second[/bold]

    Example: [bold]torchrun --standalone --nproc-per-node 8 -m paribus train --data my.txt d_model=1024[/bold]

    Settings: every field of a model and of its training by its name (see paribus study --help), rate (the peak
    learning rate; default 0.4 / d_model), scores (how often held-out text is scored; default 10), and the options
    above by theirs.
    """
    settle_waiting()
    from paribus.cli.display import Display
    from paribus.cli.train_tables import changes_table, result_table
    from paribus.study.settings import load_file
    from paribus.study.single import session
    from paribus.study.single.preparing import make
    from paribus.study.single.settings import resolve
    from paribus.train.ranks import joined

    options = {
        "data": data,
        "text_field": text_field,
        "tokenizer": tokenizer,
        "like": like,
        "scale": scale,
        "finetune": finetune,
        "seed": seed,
    }
    with joined() as ranks:
        display = Display(quiet=not ranks.is_first)
        with ranks.first_on_each_machine(), display.bytes("reading text") as reading:
            settings = resolve(
                options, overrides or [], file=load_file(str(config)) if config is not None else None
            )
            prepared = make(
                settings,
                leave_out=[_RUNS, *([out] if out is not None else [])],
                progress=reading,
                ranks=ranks,
            )
        for note in prepared.notes:
            display.say(note)
        if settings.like is not None:
            display.errors.print(changes_table(settings.like))
        folder = out or _RUNS / f"train-{Path(prepared.plan.data['name']).stem}-{prepared.plan.sha256[:8]}"
        display.say(f"{_described(prepared)}; run in {folder}")
        try:
            with display.trials() as listener:
                trained = session.train(
                    prepared,
                    folder,
                    listener=listener,
                    command=shlex.join(["paribus", *sys.argv[1:]]),
                    threads=threads,
                    again=not resume,
                    checkpoint_seconds=checkpoint_seconds,
                )
        except KeyboardInterrupt:
            display.say(f"stopped; {_how_to_go_on(folder)}")
            raise typer.Exit(130) from None
        if trained.earlier:
            display.say(f"the run in {folder} was finished before; this is what it gave")
        if ranks.is_first and as_json:
            print(json.dumps(trained.result, indent=2, allow_nan=False))
        elif ranks.is_first:
            display.show(result_table(trained.result))


def _described(prepared: Prepared) -> str:
    plan = prepared.plan
    parts = plan.model.part_names()
    return (
        f"{prepared.params:,} parameters ({parts['ffn']}, d_model {plan.model.d_model}, {plan.model.num_layers} "
        f"layers), {plan.train.steps:,} steps of {plan.train.tokens_per_step:,} tokens of {plan.data['name']}, "
        f"rate {plan.rate:.2g}"
    )


def _how_to_go_on(folder: Path) -> str:
    from paribus.study.single.folder import CHECKPOINT

    if (folder / CHECKPOINT).exists():
        return "the same command goes on from here"
    return "there is no checkpoint yet, so the same command begins again"
