"""A study from request to report: prepare the text, plan, hold the folder, run what is missing, judge, write."""

from __future__ import annotations

import dataclasses
import datetime
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paribus.errors import ParibusError, RequestError, WorkError
from paribus.model.count import on_meta
from paribus.model.initialise import roles
from paribus.study import environment, memory, results
from paribus.study.engine import Listener, execute
from paribus.study.folder import LEDGER, hold, open_folder
from paribus.study.launch import ALLOCATOR, LocalLauncher
from paribus.study.ledger import Ledger
from paribus.study.plan import Arm, Plan, make_plan
from paribus.study.report import write_report
from paribus.study.settings import StudySettings
from paribus.text.data import (
    Dataset,
    check_size,
    default_cache,
    prepare,
)
from paribus.text.tokenizers import get_tokenizer
from paribus.train.config import objective_for
from paribus.train.program import resolve
from paribus.train.run import heldout_examples

_PROBE_STEPS = 80
_START_SECONDS = 5.0  # a worker's imports
_EVALUATION_COST = 0.4  # of a training step of as many tokens, measured


@dataclass(frozen=True, kw_only=True)
class Division:
    """How the machine's cores are shared out: worker processes and threads in each."""

    workers: int
    threads: int


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A study that is ready to run."""

    plan: Plan
    data: Dataset
    division: Division
    notes: tuple[str, ...]  # what was decided for the user and should be said


def make(
    settings: StudySettings,
    *,
    workers: int | None = None,
    threads: int | None = None,
    leave_out: Sequence[Path] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Prepared:
    """Check the request, prepare the text and plan the study; cheap checks come before any long work.

    `leave_out` are folders that hold no text of the user's, should the data folder contain them.
    """
    train, why_eager = resolve(settings.train)
    settings = settings.model_copy(update={"train": train})
    memory.check_shape(settings.model_section())
    draft = make_plan(settings, data={"name": settings.data})
    division, notes = divide(draft, workers=workers, threads=threads)
    for arm in draft.arms:
        _check_part(draft, arm)
    tokenizer = get_tokenizer(settings.tokenizer)
    data = prepare(
        settings.data,
        tokenizer=tokenizer,
        cache=default_cache(),
        text_field=settings.text_field,
        leave_out=leave_out,
        progress=progress,
    )
    check_size(data, seq_len=train.seq_len, batch_size=train.batch_size)
    objective = objective_for(draft.train, draft.arm(draft.baseline).model.architecture)
    scored = heldout_examples(objective, data, train).scored_bytes(tokenizer.byte_lengths)
    described = {
        "name": data.name,
        "sha256": data.sha256,
        "bytes": data.bytes,
        "documents": data.documents,
        "train_bytes": data.train.num_bytes,
        "train_tokens": data.train.num_tokens,
        "heldout_bytes": data.heldout.num_bytes,
        "scored_bytes": scored,
        "tokenizer": data.tokenizer,
    }
    if why_eager is not None:
        notes = (*notes, f"the models will run without torch.compile, about half as fast: {why_eager}")
    plan = dataclasses.replace(draft, data=described, threads=division.threads)
    return Prepared(plan=plan, data=data, division=division, notes=notes)


def _check_part(plan: Plan, arm: Arm) -> None:
    """Build and run the arm on meta tensors, so that a part that cannot work is refused before any training."""
    try:
        results.describe_arm(plan, arm)
        list(roles(on_meta(arm.model)))
    except ParibusError:
        raise
    except Exception as error:
        raise RequestError(
            f"the {plan.slot} {arm.name!r} cannot be run: {type(error).__name__}: {(str(error).strip().splitlines() or ['no reason'])[0]}"
        ) from error


def divide(
    plan: Plan, *, workers: int | None = None, threads: int | None = None
) -> tuple[Division, tuple[str, ...]]:
    """One-thread workers on every core; fewer, with more threads each, where memory or trials are short.

    Numbers that are given are kept, but for workers that memory cannot hold; then a note says so.
    """
    largest = max(plan.arms, key=lambda arm: memory.trial_bytes(arm.model, plan.train))
    trials = len(plan.arms) * len(plan.rates) * len(plan.seeds)
    wanted = workers or min(trials, environment.trials_at_a_time(threads or 1))
    fitting = memory.workers_that_fit(largest.model, plan.train, wanted=wanted)
    notes = (f"memory holds {fitting} workers, not {workers}",) if workers and fitting < workers else ()
    return Division(workers=fitting, threads=threads or max(1, environment.cores() // fitting)), notes


def run(
    prepared: Prepared, out: Path, *, command: str, listener: Listener
) -> tuple[dict[str, Any], dict[str, Path]]:
    """Run what is missing of the study in `out` and write its report; returns results and the report's files.

    Trials that failed stand in the results as such. Raises `WorkError` when nothing could be done at all, or
    the disk is full.
    """
    try:
        open_folder(out)
        return _run(prepared, out, command=command, listener=listener)
    except OSError as error:
        raise WorkError(
            f"the study in {out} stopped: {error.strerror or error}; finished trials are kept, run the same "
            "command again when that is mended"
        ) from error


def _run(
    prepared: Prepared, out: Path, *, command: str, listener: Listener
) -> tuple[dict[str, Any], dict[str, Path]]:
    plan, division = prepared.plan, prepared.division
    with (
        hold(out) as lock,
        Ledger(out / LEDGER, plan_sha256=plan.sha256, plan=plan.to_dict()) as ledger,
    ):
        (out / "plan.json").write_text(json.dumps(plan.to_dict(), indent=2) + "\n")
        ledger.begin_session(
            {
                **environment.describe(),
                "workers": division.workers,
                "threads_per_worker": division.threads,
                "malloc": ALLOCATOR,
                "command": command,
                "began": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            }
        )
        with _launcher(prepared, out, lock) as launcher:
            rates = execute(plan, ledger, launcher, listener=listener)
        outcome = results.build(
            plan, rates, ledger.results(), sessions=ledger.sessions(), notes=prepared.notes
        )
        files = write_report(outcome, out)
    return outcome, files


def _launcher(prepared: Prepared, folder: Path, lock: int) -> LocalLauncher:
    return LocalLauncher(
        workers=prepared.division.workers,
        threads=prepared.division.threads,
        data=prepared.data.folder,
        folder=folder,
        lock=lock,
    )


def failed_trials(outcome: dict[str, Any]) -> WorkError | None:
    """The error to end with when trials failed."""
    failed = [row for row in outcome["trials"] if row["status"] == "failed"]
    if not failed:
        return None
    first = failed[0]
    missing = sum(row["status"] == "missing" for row in outcome["trials"])
    skipped = f" and {missing} were not tried" if missing else ""
    return WorkError(
        f"{len(failed)} of {len(outcome['trials'])} trials failed{skipped}, the first ({first['arm']}, rate "
        f"{first['lr']:.3g}, seed {first['seed']}) with: {first['error']}; the same command tries them again"
    )


def dry_run(prepared: Prepared) -> dict[str, Any]:
    """What the study would run, and the minutes it would take by a short measured run of the baseline."""
    plan, data, division = prepared.plan, prepared.data, prepared.division
    rows = [results.describe_arm(plan, arm) for arm in plan.arms]
    speed, compile_seconds = _probe(prepared)
    trials = plan.trials(plan.rates)
    scored = _EVALUATION_COST * min(plan.train.heldout_tokens, data.heldout.num_tokens)
    tokens = sum(trial.train.tokens + scored for trial in trials)
    graphs = len({trial.graph for trial in trials})
    seconds = _START_SECONDS + (tokens / speed + compile_seconds * graphs) / division.workers
    control_names = plan.controls
    return {
        "study": plan.slot,
        "metric": "val_bpb",
        "baseline": plan.baseline,
        "matched": plan.matched,
        "data": dict(plan.data),
        "arms": [row for row in rows if row["name"] not in control_names],
        "controls": [row for row in rows if row["name"] in control_names],
        "rates": list(plan.rates),
        "seeds": list(plan.seeds),
        "trials": len(trials),
        "workers": division.workers,
        "threads_per_worker": division.threads,
        "tokens_per_second": speed,
        "expected_minutes": seconds / 60,
        "plan_sha256": plan.sha256,
    }


def _probe(prepared: Prepared) -> tuple[float, float]:
    """Tokens a second of a worker and seconds of a compilation, with all workers busy on the baseline."""
    plan = prepared.plan
    train = dataclasses.replace(
        plan.train,
        tokens=_PROBE_STEPS * plan.train.tokens_per_step,
        heldout_tokens=plan.train.tokens_per_step,
    )
    probe = dataclasses.replace(plan, train=train)
    arm = dataclasses.replace(plan.arm(plan.baseline), tokens=train.tokens)
    trials = [probe.trial(arm, plan.rates[0], seed) for seed in range(prepared.division.workers)]
    with (
        tempfile.TemporaryDirectory(prefix="paribus-probe-") as folder,
        hold(Path(folder)) as lock,
        _launcher(prepared, Path(folder), lock) as launcher,
    ):
        outcomes = [result for _, result in launcher.run(trials, progress=lambda _: None)]
    speed = sum(outcome["tokens_per_second"] for outcome in outcomes) / len(outcomes)
    return speed, max(outcome["compile_seconds"] for outcome in outcomes)
