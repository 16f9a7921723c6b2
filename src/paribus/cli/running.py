"""How `paribus study` runs what was asked for: plan, say what it costs, run, show, and end with the right code."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import typer

from paribus.errors import RequestError

if TYPE_CHECKING:
    from paribus.cli.display import Display
    from paribus.study.command.plan import CommandPlan
    from paribus.study.engine import Listener
    from paribus.study.ladder import Rung
    from paribus.study.plan import Plan
    from paribus.study.session import Launching, Prepared
    from paribus.study.settings import StudySettings

RUNS = Path("runs")  # where studies go that were not told where
ASKING = 1000  # trials from which on a study wants a yes


@dataclass(frozen=True, kw_only=True)
class Running:
    """The options that say how a study runs and not what it asks."""

    out: Path | None = None
    budget_seconds: float | None = None
    launcher: str = "local"
    address: str | None = None
    slurm: Mapping[str, Any] = field(default_factory=dict)
    mirror: str | None = None
    workers: int | None = None
    threads: int | None = None
    yes: bool = False
    dry_run: bool = False
    as_json: bool = False


def ask(
    what: str | None, preset: str, options: Mapping[str, Any], overrides: Sequence[str]
) -> tuple[str, StudySettings]:
    """The name and the settings of the study that was asked for, by name, by file or by a grid alone."""
    from paribus.study.settings import load_file, resolve

    if what is not None and Path(what).suffix in (".yaml", ".yml"):
        file = load_file(what)
        study, size = file.pop("study", "ffn"), file.pop("preset", preset)
        name = Path(what).stem if "study" not in file else study
        return name, resolve(str(size), options, overrides, study=str(study), file=file)
    if what is None and options.get("vary") is None:
        raise RequestError(
            "nothing is compared: name a study, as in paribus study ffn, or give --vary norm=rmsnorm,layernorm"
        )
    name = what or "+".join(key.rpartition(".")[2] for key in options["vary"])
    return name, resolve(preset, options, overrides, study=what or "ffn")


def run_study(name: str, settings: StudySettings, how: Running) -> None:
    """One study from its settings to its report."""
    from paribus.cli.display import Display
    from paribus.cli.tables import plan_table
    from paribus.study import session
    from paribus.study.folder import open_folder

    display = Display()
    if how.out is not None:
        open_folder(how.out)
    with display.bytes("reading text") as reading:
        prepared = session.make(
            settings,
            study=name,
            workers=how.workers,
            threads=how.threads,
            here=how.launcher == "local",
            folder=partial(_folder, name, how),
            leave_out=[RUNS, *([how.out] if how.out else [])],
            say=display.say,
            progress=reading,
        )
    for note in prepared.notes:
        display.say(note)
    if how.dry_run:
        display.say("measuring the speed of this machine on the baseline")
        planned = session.dry_run(prepared)
        if how.as_json:
            print(json.dumps(planned, indent=2))
        else:
            display.show(plan_table(planned))
        return
    _agree(prepared, how, display)
    plan = prepared.plan
    folder = _folder(name, how, plan)
    controls = f" (controls: {', '.join(plan.controls)})" if plan.controls else ""
    schemes = f" x {len(plan.schemes)} initial schemes" if len(plan.schemes) > 1 else ""
    display.say(
        f"{len(plan.arms)} arms{controls} x {len(plan.rates)} rates x {len(plan.seeds)} seeds{schemes} on "
        f"{plan.data['name']}, {_workers(prepared, how)}; study in {folder}"
    )
    _finish(prepared, folder, how, display)


def _folder(name: str, how: Running, plan: Plan) -> Path:
    """Where the study of this plan stands."""
    return how.out or RUNS / f"{name}-{Path(plan.data['name']).stem}-{plan.sha256[:8]}"


def _workers(prepared: Prepared, how: Running) -> str:
    if how.launcher == "local":
        return f"{prepared.division.workers} workers"
    return f"on {how.launcher}, {f'{how.workers} workers' if how.workers else 'as many workers as there is room for'}"


def run_command(
    command: str,
    vary: Sequence[str],
    options: Mapping[str, Any],
    how: Running,
    *,
    metric: str | None,
    overrides: Sequence[str],
) -> None:
    """A study around somebody else's training program."""
    from paribus.cli.display import Display
    from paribus.study.command import session as command_session

    display = Display()
    prepared = command_session.make(
        command, vary, options, overrides, metric=metric, workers=how.workers, threads=how.threads
    )
    for note in prepared.notes:
        display.say(note)
    plan = cast("CommandPlan", prepared.plan)
    if how.dry_run:
        for trial in plan.trials(plan.rates):
            display.say(f"{trial.name}: {shlex.join(trial.arguments(Path('OUT')))}")
        return
    _agree(prepared, how, display)
    folder = how.out or RUNS / f"exec-{plan.slot}-{plan.sha256[:8]}"
    display.say(
        f"{len(plan.arms)} arms (controls: {', '.join(plan.controls)}) x {len(plan.rates)} rates x "
        f"{len(plan.seeds)} seeds, {prepared.division.workers} at a time; study in {folder}"
    )
    _finish(prepared, folder, how, display, launching=command_session.launcher)


def run_ladder(name: str, settings: StudySettings, rungs: Sequence[tuple[str, int]], how: Running) -> None:
    """One study at several sizes, and the trend of every difference over them."""
    from paribus.cli.display import Display
    from paribus.cli.tables import ladder_table, plan_table
    from paribus.study import ladder, session

    display = Display()
    prepared = ladder.make(
        settings,
        rungs,
        study=name,
        workers=how.workers,
        threads=how.threads,
        here=how.launcher == "local",
        out=how.out,
        leave_out=[RUNS],
        say=display.say,
    )
    for rung in prepared:
        display.say(f"{rung.label}: {rung.describe()}")
    if how.dry_run:
        planned = {rung.label: session.dry_run(rung.prepared) for rung in prepared}
        if how.as_json:
            print(json.dumps(planned, indent=2))
        else:
            for plan in planned.values():
                display.show(plan_table(plan))
        return
    for rung in prepared:
        _agree(rung.prepared, how, display)
    folder = how.out or RUNS / f"{name}-ladder-{ladder.digest(prepared)[:8]}"
    display.say(f"{len(prepared)} sizes; studies in {folder}")
    everything = sum(rung.flops for rung in prepared)

    def run(rung: Rung) -> dict[str, Any]:
        display.say(rung.label)
        share = how.budget_seconds and how.budget_seconds * rung.flops / everything
        return _run(rung.prepared, folder / rung.label, replace(how, budget_seconds=share), display)[0]

    results, files = ladder.run(prepared, folder, name=name, run=run, command=_typed())
    if how.as_json:
        print(files["results.json"].read_text(), end="")
    else:
        display.show(ladder_table(results))
    display.say(f"report: {files['report.html']}")


def _agree(prepared: Prepared, how: Running, display: Display) -> None:
    """A study that is large wants a yes or a budget; without either its size and cost are said."""
    from paribus.study import session

    trials = len(prepared.plan.trials(prepared.plan.rates))
    if trials <= ASKING or how.yes or how.budget_seconds is not None:
        return
    cost = ""
    if prepared.data is not None:
        display.say(f"{trials:,} trials: measuring the speed of this machine on the baseline")
        cost = (
            f", about {session.dry_run(prepared)['expected_minutes'] / 60:.1f} hours by a short measured run"
        )
    raise RequestError(
        f"this study has {trials:,} trials ({len(prepared.plan.arms)} arms x {len(prepared.plan.rates)} rates x "
        f"{len(prepared.plan.seeds)} seeds x {len(prepared.plan.schemes)} schemes){cost}: say --yes to run it all, "
        "or --budget 8h to run as many whole seeds as fit"
    )


def _finish(
    prepared: Prepared, folder: Path, how: Running, display: Display, launching: Launching | None = None
) -> None:
    from paribus.cli.tables import verdict_table
    from paribus.study.pages.answer import answer
    from paribus.study.session import failed_trials

    results, files = _run(prepared, folder, how, display, launching)
    if how.as_json:
        print(files["results.json"].read_text(), end="")
    else:
        display.show(verdict_table(results, answer(results)))
    display.say(f"report: {files['report.html']}")
    if (failure := failed_trials(results)) is not None:
        raise failure


def _run(
    prepared: Prepared, folder: Path, how: Running, display: Display, launching: Launching | None = None
) -> tuple[dict[str, Any], dict[str, Path]]:
    """Run a study, with its progress on the screen; Ctrl-C says how to go on and ends with code 130."""
    from paribus.study import session

    try:
        with (
            display.trials(counts=prepared.plan.counts) as shown,
            _mirrored(how, prepared, folder, shown) as listener,
        ):
            return session.run(
                prepared,
                folder,
                command=_typed(),
                listener=listener,
                launching=launching or _launching(how),
                budget_seconds=how.budget_seconds,
            )
    except KeyboardInterrupt:
        display.say("stopped; the same command goes on from here")
        raise typer.Exit(130) from None


@contextmanager
def _mirrored(how: Running, prepared: Prepared, folder: Path, listener: Listener) -> Iterator[Listener]:
    """The listener, with finished trials shown in the mirror that was asked for too."""
    if how.mirror is None:
        yield listener
        return
    from paribus.study.mirror import Guarded, listen, open_mirror

    guarded = Guarded(
        open_mirror(how.mirror, folder, study=folder.name), study=folder.name, say=listener.note
    )
    try:
        yield listen(listener, guarded, plan=prepared.plan)
    finally:
        guarded.close()


def _launching(how: Running) -> Launching | None:
    """What makes the launcher that was asked for; None for workers on this machine."""
    if how.launcher == "local":
        if how.address is not None or how.slurm:
            raise RequestError("--address belongs to --launcher ray, and --slurm to --launcher slurm")
        return None
    from paribus.study.launch import make_launcher

    return lambda prepared, folder, lock: make_launcher(
        how.launcher,
        workers=how.workers,
        threads=prepared.division.threads,
        data=prepared.plan.data,
        folder=folder,
        lock=lock,
        address=how.address,
        slurm=how.slurm,
    )


def _typed() -> str:
    """The command as it was typed."""
    return shlex.join(["paribus", *sys.argv[1:]])
