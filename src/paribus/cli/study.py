"""`paribus study`: from a question to a verdict and a report."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from paribus.errors import RequestError, nearest

_KINDS = ("ffn",)
RUNS = Path("runs")  # where studies go that were not told where


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

    Example: [bold]paribus study ffn model.architecture=encoder train.objective=masked_token[/bold]

    Settings: model.{d_model, d_ff, num_layers, num_heads, num_kv_heads, head_dim, norm, residual, position,
    attention, tie_embeddings, architecture, encoder_layers, embedding_norm, final_norm, embedding_scale,
    logit_scale, logit_softcap}, train.{tokens, batch_size, seq_len, warmup, weight_decay, beta1, beta2, eps,
    clip, init_scheme, objective, heldout_tokens, dtype, compile}, handicap, and the options above by their
    names.
    """
    if what not in _KINDS:
        raise RequestError(f"there is no study of {what!r}; {nearest(what, _KINDS)}")
    from paribus.cli.display import Display, plan_table, verdict_table
    from paribus.study import session
    from paribus.study.folder import open_folder
    from paribus.study.report import answer
    from paribus.study.settings import resolve

    display = Display()
    settings = resolve(
        preset,
        {
            "arms": [arm.strip() for arm in arms.split(",")] if arms is not None else None,
            "baseline": baseline,
            "seeds": seeds,
            "base_seed": base_seed,
            "rates": _numbers(rates),
            "data": data,
            "text_field": text_field,
        },
        overrides or [],
    )
    if out is not None:
        open_folder(out)
    with display.bytes("reading text") as reading:
        prepared = session.make(
            settings,
            workers=workers,
            threads=threads,
            leave_out=[RUNS, *([out] if out else [])],
            progress=reading,
        )
    for note in prepared.notes:
        display.say(note)
    if dry_run:
        display.say("measuring the speed of this machine on the baseline")
        planned = session.dry_run(prepared)
        if as_json:
            print(json.dumps(planned, indent=2))
        else:
            display.show(plan_table(planned))
        return
    plan, dataset, division = prepared.plan, prepared.data, prepared.division
    folder = out or RUNS / f"{plan.slot}-{Path(dataset.name).stem}-{plan.sha256[:8]}"
    display.say(
        f"{len(plan.arms)} arms (controls: {', '.join(plan.controls)}) x {len(plan.rates)} rates x "
        f"{len(plan.seeds)} seeds on {dataset.name}, {division.workers} workers; study in {folder}"
    )
    try:
        with display.trials() as listener:
            results, files = session.run(prepared, folder, command=_command(), listener=listener)
    except KeyboardInterrupt:
        display.say("stopped; the same command goes on from here")
        raise typer.Exit(130) from None
    if as_json:
        print(files["results.json"].read_text(), end="")
    else:
        display.show(verdict_table(results, answer(results)))
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
