"""`paribus study`: from a question to a verdict and a report.

`paribus study WHAT` is the command; `list`, `show`, `compare`, `export`, `reproduce` and `sft` are its own subcommands, so a
first word that is none of them is a question.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from paribus.cli import reading, reproduce, studies, study_sft
from paribus.cli.json_option import JsonOption
from paribus.cli.running import ASKING, Running, ask, run_command, run_ladder, run_study
from paribus.cli.text_options import DataOption, TextFieldOption
from paribus.cores import MOST_THREADS
from paribus.errors import RequestError

_RUN = "run"


class _Group(TyperGroup):
    """What is no subcommand is a question: `paribus study ffn` is `paribus study run ffn`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or args[0] not in self.commands:
            args = [_RUN, *(args or ["--help"])]  # nothing at all asks for help
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return ("" if name == _RUN else name), command, rest


app = typer.Typer(cls=_Group, add_completion=False, rich_markup_mode="rich")
studies.register(app)
app.command("reproduce")(reproduce.reproduce)
app.command("sft")(study_sft.study_sft)


@app.command(_RUN)
def study(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="[WHAT]",
            help="ffn, activation, norm, residual, position, depth, repetition or tokenizer, or a study file (.yaml).",
        ),
    ] = None,
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
    vary: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=A,B", help="A setting and its values; several make a grid. norm=rmsnorm,layernorm"
        ),
    ] = None,
    like: Annotated[
        str | None,
        typer.Option(help="A checkpoint's folder or config.json: the baseline is a model of its anatomy."),
    ] = None,
    scale: Annotated[
        str | None, typer.Option(help="With --like: how many parameters it has, such as 1M or 500K.")
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(help="The arm that the others are compared with. Default: the first.")
    ] = None,
    match: Annotated[
        str | None,
        typer.Option(help="What is held equal: params, flops, time or none (of tokenizers: bytes or flops)."),
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(help="Bits per byte that do not matter: an arm within them is `same`."),
    ] = None,
    schemes: Annotated[
        str | None, typer.Option(help="Initial schemes to run it all under: fan_in,normal_0.02.")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(help="Seeds for every arm and rate; a verdict needs 4. Default: 4.")
    ] = None,
    base_seed: Annotated[int | None, typer.Option(help="The first seed. Default: 0.")] = None,
    rates: Annotated[
        str | None,
        typer.Option(help="Common grid of peak learning rates, at least three, evenly spaced in log."),
    ] = None,
    until_resolved: Annotated[
        bool,
        typer.Option("--until-resolved", help="Look after 4, 8 and 16 seeds; stop when nothing is open."),
    ] = False,
    budget: Annotated[
        str | None, typer.Option(help="Time the study may take, such as 90m or 8h; it ends on a whole seed.")
    ] = None,
    ladder: Annotated[
        str | None, typer.Option(help="Repeat it over model sizes: 0.25M,0.5M,1M,2M parameters.")
    ] = None,
    command: Annotated[
        str | None,
        typer.Option(
            "--exec", help="A training program of your own, with {lr}, {seed}, {out} and varied keys."
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(help="With --exec: the key of its metrics.jsonl to judge by. Default: val_bpb."),
    ] = None,
    data: DataOption = None,
    text_field: TextFieldOption = None,
    tokenizer: Annotated[
        str | None,
        typer.Option(help="bytes, or the folder or file of a tokenizer. Default: bytes."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the study. Default: runs/WHAT-DATA-HASH.")
    ] = None,
    preset: Annotated[
        str, typer.Option(help="quick (a minute), default (five minutes) or paper (hours).")
    ] = "default",
    launcher: Annotated[str, typer.Option(help="Where trials run: local, ray or slurm.")] = "local",
    address: Annotated[
        str | None, typer.Option(help="With --launcher ray: the cluster's address, or auto.")
    ] = None,
    slurm: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="With --launcher slurm: what to ask for, as partition=gpu."),
    ] = None,
    mirror: Annotated[
        str | None, typer.Option(help="Mirror metrics to tensorboard or wandb (offline).")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Trials at a time. Default: one a core, if that is fastest and fits."),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1, max=MOST_THREADS, help="Threads of each worker. Default: as began, or cores by workers."
        ),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help=f"Run it without asking, however large (from {ASKING} trials).")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan and the minutes it would take, and stop.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Train small models that differ in one thing only, and say which is better.

    Every arm runs at every learning rate from every seed, with equal parameters, equal batches and equal
    starts; a placebo and a handicap check the study itself. Stop it at any time: the same command goes on.

    Example: [bold]paribus study ffn --arms relu,swiglu --data my.txt --seeds 8[/bold]

    Example: [bold]paribus study --vary ffn=relu,swiglu --vary norm=rmsnorm,layernorm[/bold]

    Example: [bold]paribus study position --preset quick[/bold]

    Example: [bold]paribus study --vary ffn=relu2,geglu --like models/Qwen3-0.6B --scale 1M[/bold]

    Example: [bold]paribus study --exec 'python train.py --ffn {ffn} --lr {lr} --seed {seed}
    --tokens {tokens} --out {out}' --vary ffn=relu,swiglu tokens=100000[/bold]

    Afterwards: [bold]paribus study list[/bold], [bold]show[/bold], [bold]compare A B[/bold],
    [bold]export[/bold], [bold]reproduce RUN_ID[/bold]; each has its own --help.

    Settings: model.{d_model, d_ff, num_layers, num_heads, num_kv_heads, head_dim, ffn, norm, residual, position,
    attention, tie_embeddings, architecture, encoder_layers, embedding_norm, final_norm, embedding_scale,
    logit_scale, logit_softcap, segments, head_bias, head_transform, ffn_memory}, train.{tokens, batch_size, seq_len,
    warmup, optimiser, weight_decay, beta1, beta2, eps, clip, passes, init_scheme, match_output_rms, objective,
    heldout_tokens, dtype, compile}, handicap, and the options above by their names; in a FILE also kind, slot and probes.
    """
    if what is not None and "=" in what and not Path(what).exists():
        overrides, what = [what, *(overrides or [])], None
    options = {
        "arms": reading.values(arms, option="--arms"),
        "vary": reading.grid(vary) if command is None else None,  # a command's values are words, not YAML
        "model": {key: value for key, value in {"like": like, "scale": scale}.items() if value} or None,
        "baseline": baseline,
        "match": match,
        "margin": margin,
        "schemes": schemes.split(",") if schemes is not None else None,
        "seeds": seeds,
        "base_seed": base_seed,
        "rates": reading.numbers(rates, option="--rates"),
        "until_resolved": until_resolved or None,
        "data": data,
        "text_field": text_field,
        "tokenizer": tokenizer,
    }
    how = Running(
        out=out,
        budget_seconds=reading.seconds(budget, option="--budget"),
        launcher=launcher,
        address=address,
        slurm=reading.pairs(slurm, option="--slurm"),
        mirror=mirror,
        workers=workers,
        threads=threads,
        yes=yes,
        dry_run=dry_run,
        as_json=as_json,
    )
    if command is not None:
        if what is not None or ladder is not None or launcher != "local":
            odd = what if what is not None else "--ladder" if ladder is not None else "--launcher"
            raise RequestError(
                f"{odd} is for studies of our own trainer; --exec is a study by itself, run here"
            )
        run_command(command, vary or [], options, how, metric=metric, overrides=overrides or [])
        return
    if metric is not None:
        raise RequestError("--metric belongs to --exec; the studies of paribus are judged by bits per byte")
    name, settings = ask(what, preset, options, overrides or [])
    if (rungs := reading.sizes(ladder, option="--ladder")) is not None:
        run_ladder(name, settings, rungs, how)
    else:
        run_study(name, settings, how)
