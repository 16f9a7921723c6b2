"""A study from request to report: prepare the text, plan, hold the folder, run what is missing, judge, write."""

from __future__ import annotations

import dataclasses
import datetime
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paribus.errors import WorkError
from paribus.study import environment, memory, results
from paribus.study.engine import Listener, execute
from paribus.study.folder import LEDGER, hold, open_folder
from paribus.study.launch import ALLOCATOR, LocalLauncher
from paribus.study.ledger import Ledger
from paribus.study.plan import Plan, make_plan
from paribus.study.report import write_report
from paribus.study.settings import StudySettings
from paribus.text.data import (
    Dataset,
    check_size,
    default_cache,
    heldout_windows,
    prepare,
    scored_bytes,
)
from paribus.text.tokenizers import get_tokenizer

_PROBE_STEPS = 80
_START_SECONDS = 5.0  # a worker's imports
_EVALUATION_COST = 0.4  # of a training step of as many tokens, measured


@dataclass(frozen=True, kw_only=True)
class Division:
    """How the machine's cores are shared out: worker processes and threads in each."""

    workers: int
    threads: int


def make(
    settings: StudySettings, *, progress: Callable[[int, int], None] | None = None
) -> tuple[Plan, Dataset]:
    """Check the request, prepare the text and plan the study; cheap checks come before any long work."""
    nowhere = {"name": settings.data, "scored_bytes": 0}
    draft = make_plan(settings, data=nowhere)
    for arm in draft.arms:
        memory.workers_that_fit(arm.model, draft.train, wanted=1)
    tokenizer = get_tokenizer(settings.tokenizer)
    data = prepare(
        settings.data,
        tokenizer=tokenizer,
        cache=default_cache(),
        text_field=settings.text_field,
        progress=progress,
    )
    train = settings.train
    check_size(data, seq_len=train.seq_len, batch_size=train.batch_size)
    windows = heldout_windows(data.heldout, seq_len=train.seq_len, num_tokens=train.heldout_tokens)
    described = {
        "name": data.name,
        "sha256": data.sha256,
        "bytes": data.bytes,
        "documents": data.documents,
        "train_bytes": data.train.num_bytes,
        "train_tokens": data.train.num_tokens,
        "heldout_bytes": data.heldout.num_bytes,
        "scored_bytes": scored_bytes(windows, tokenizer),
        "tokenizer": data.tokenizer,
    }
    return dataclasses.replace(draft, data=described), data


def divide(plan: Plan, *, workers: int | None = None, threads: int | None = None) -> Division:
    """One-thread workers on every core, fewer where memory or trials are short; given numbers win."""
    largest = max(plan.arms, key=lambda arm: memory.trial_bytes(arm.model, plan.train))
    cores = environment.cores()
    trials = len(plan.arms) * len(plan.rates) * len(plan.seeds)
    wanted = workers or min(trials, max(1, cores // (threads or 1)))
    fitting = memory.workers_that_fit(largest.model, plan.train, wanted=wanted)
    return Division(workers=fitting, threads=threads or max(1, cores // fitting))


def run(
    plan: Plan, data: Dataset, out: Path, *, division: Division, command: str, listener: Listener
) -> tuple[dict[str, Any], dict[str, Path]]:
    """Run what is missing of the study in `out` and write its report; returns results and the report's files.

    Raises `WorkError` after writing the report when some trials failed.
    """
    open_folder(out)
    try:
        return _run(plan, data, out, division=division, command=command, listener=listener)
    except OSError as error:
        raise WorkError(
            f"the study in {out} stopped: {error.strerror or error}; finished trials are kept, run the same "
            "command again when that is mended"
        ) from error


def _run(
    plan: Plan, data: Dataset, out: Path, *, division: Division, command: str, listener: Listener
) -> tuple[dict[str, Any], dict[str, Path]]:
    with (
        hold(out) as lock,
        Ledger(out / LEDGER, plan_sha256=plan.sha256, plan=plan.to_dict()) as ledger,
    ):
        with LocalLauncher(
            workers=division.workers, threads=division.threads, data=data.folder, folder=out, lock=lock
        ) as launcher:
            rates = execute(plan, ledger, launcher, listener=listener)
        outcome = results.build(
            plan,
            rates,
            ledger.results(),
            command=command,
            environment={
                **environment.describe(),
                "workers": division.workers,
                "threads_per_worker": division.threads,
                "malloc": ALLOCATOR,
            },
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        )
        files = write_report(outcome, out)
    return outcome, files


def failed_trials(outcome: dict[str, Any]) -> WorkError | None:
    """The error to end with when trials failed."""
    failed = [row for row in outcome["trials"] if row["status"] == "failed"]
    if not failed:
        return None
    first = failed[0]
    return WorkError(
        f"{len(failed)} of {len(outcome['trials'])} trials failed, the first ({first['arm']}, rate "
        f"{first['lr']:.3g}, seed {first['seed']}) with: {first['error']}; the same command tries them again"
    )


def dry_run(plan: Plan, data: Dataset, *, division: Division) -> dict[str, Any]:
    """What the study would run, and the minutes it would take by a short measured run of the baseline."""
    rows = [results.describe_arm(plan, arm) for arm in plan.arms]
    speed, compile_seconds = _probe(plan, data, division)
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


def _probe(plan: Plan, data: Dataset, division: Division) -> tuple[float, float]:
    """Tokens a second of a worker and seconds of a compilation, with all workers busy on the baseline."""
    train = dataclasses.replace(
        plan.train,
        tokens=_PROBE_STEPS * plan.train.tokens_per_step,
        heldout_tokens=plan.train.tokens_per_step,
    )
    probe = dataclasses.replace(plan, train=train)
    arm = dataclasses.replace(plan.arm(plan.baseline), tokens=train.tokens)
    trials = [probe.trial(arm, plan.rates[0], seed) for seed in range(division.workers)]
    with (
        tempfile.TemporaryDirectory(prefix="paribus-probe-") as folder,
        hold(Path(folder)) as lock,
        LocalLauncher(
            workers=division.workers,
            threads=division.threads,
            data=data.folder,
            folder=Path(folder),
            lock=lock,
        ) as launcher,
    ):
        outcomes = [result for _, result in launcher.run(trials, progress=lambda _: None)]
    failed = [outcome for outcome in outcomes if outcome["status"] == "failed"]
    if failed:
        raise WorkError(f"the probe run failed: {failed[0]['reason']}")
    speed = sum(outcome["tokens_per_second"] for outcome in outcomes) / len(outcomes)
    return speed, max(outcome["compile_seconds"] for outcome in outcomes)
