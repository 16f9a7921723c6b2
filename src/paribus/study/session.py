"""A study from request to report: prepare the text, plan, hold the folder, run what is missing, judge, write."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paribus.errors import ParibusError, RequestError, WorkError
from paribus.model.count import on_meta
from paribus.model.initialise import roles
from paribus.study import describe, environment, memory, results, speed
from paribus.study.arms import named_arms
from paribus.study.division import Division, divide, settle
from paribus.study.engine import Listener, execute
from paribus.study.folder import LEDGER, PLAN, hold, open_folder, planned_threads
from paribus.study.launch import ALLOCATOR, Launcher, LocalLauncher
from paribus.study.ledger import Ledger
from paribus.study.pages.report import write_report
from paribus.study.plan import Arm, Plan
from paribus.study.planning import make_plan
from paribus.study.settings import StudySettings
from paribus.study.texts import prepared_text
from paribus.study.tokenized import OwnText, own_texts
from paribus.text.data import Dataset, check_size, unigram_bits_per_byte
from paribus.text.data.dataset import TOKENIZER as KEPT_TOKENIZER
from paribus.text.tokenizers import get_tokenizer, located
from paribus.train.config import objective_for
from paribus.train.evaluation import heldout_examples, heldout_groups
from paribus.train.program import resolve
from paribus.train.run import ffn_output_gain

#: Makes what runs the trials: given the study, its folder and the lock that workers keep.
Launching = Callable[["Prepared", Path, int], AbstractContextManager[Launcher]]


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A study that is ready to run."""

    plan: Plan
    data: Dataset | None  # None where a command brings its own
    division: Division
    notes: tuple[str, ...] = field(default=())  # what was decided for the user and should be said


def make(
    settings: StudySettings,
    *,
    study: str = "ffn",
    workers: int | None = None,
    threads: int | None = None,
    here: bool = True,
    folder: Callable[[Plan], Path] | None = None,
    leave_out: Sequence[Path] = (),
    say: Callable[[str], None] = lambda sentence: None,
    progress: Callable[[int, int], None] | None = None,
) -> Prepared:
    """Check the request, prepare the text and plan the study; cheap checks come before any long work.

    `here` is whether this machine runs the trials: elsewhere its cores and its memory say nothing, and a worker has
    one thread. `folder` tells where the study of a plan stands; one that stands there keeps its threads, where none
    are given. `leave_out` are folders that hold no text of the user's, should the data folder contain them. `say`
    gets what a user should know of and the report need not.
    """
    workers = workers if here else 1
    train, why_eager = resolve(settings.train)
    settings = settings.model_copy(update={"train": train})
    memory.check_shape(settings.model_section())
    own = None
    if settings.kind == "tokenizer":
        own = own_texts(
            settings, named_arms(settings), leave_out=tuple(leave_out), say=say, progress=progress
        )
        everything = max(text.data.heldout.num_tokens for text in own.values())
        settings = settings.model_copy(
            update={"train": dataclasses.replace(settings.train, heldout_tokens=everything)}
        )
    draft = make_plan(settings, data={"name": settings.data}, study=study, own=own)
    division, notes = divide(draft, workers=workers, threads=threads or (None if here else 1))
    for arm in draft.arms:
        _check_arm(draft, arm)
    if own is not None:
        data = own[draft.baseline].data
    else:
        data = prepared_text(
            settings, get_tokenizer(settings.tokenizer), leave_out=leave_out, progress=progress
        )
    for arm in draft.arms:
        _check_data(arm, own[arm.name].data if own is not None and not arm.control else data)
    if why_eager is not None:
        notes = (*notes, f"the models will run without torch.compile, about half as fast: {why_eager}")
    plan = dataclasses.replace(draft, data=_described(settings, draft, data, own))
    if threads is None:
        begun = (lambda plan: planned_threads(folder(plan))) if folder is not None else (lambda plan: None)
        division = settle(plan, division, workers=workers, begun=begun, say=say)
    plan = dataclasses.replace(plan, threads=division.threads)
    if settings.like is not None:
        notes = (*notes, settings.like.sentence("the baseline"))
    prepared = Prepared(plan=plan, data=data, division=division, notes=(*notes, *describe.notes(plan)))
    if settings.match != "time":
        return prepared
    arms = [arm for arm in plan.arms if not arm.control]
    found = speed.alone(plan, arms, _speed_launcher(prepared))
    final = make_plan(
        settings,
        data=plan.data,
        study=study,
        threads=plan.threads,
        throughput=found.tokens_per_second,
    )
    return dataclasses.replace(prepared, plan=final, notes=(*prepared.notes, found.note()))


def _described(
    settings: StudySettings, plan: Plan, data: Dataset, own: Mapping[str, OwnText] | None
) -> dict[str, Any]:
    """What a plan says of its text: how to find it, what it is, and what of it is scored."""
    objective = objective_for(plan.train, plan.arm(plan.baseline).model.architecture)
    examples = heldout_examples(objective, data, plan.train)
    described = {
        "name": data.name,
        "source": settings.data,
        "text_field": settings.text_field,
        "sha256": data.sha256,
        "bytes": data.bytes,
        "documents": data.documents,
        "train_bytes": data.train.num_bytes,
        "train_tokens": data.train.num_tokens,
        "heldout_bytes": data.heldout.num_bytes,
        "scored_bytes": examples.scored_bytes(data.open_tokenizer().byte_lengths),
    }
    if own is not None:
        # Windows of different lengths begin in different documents, so there is no one table of bytes by document.
        kept = data.folder / KEPT_TOKENIZER
        return described | {
            "tokenizer": str(kept) if kept.is_dir() else data.tokenizer,
            "tokenizers": {name: text.describe() for name, text in own.items()},
        }
    return described | {
        "group_bytes": heldout_groups(examples, data, plan.train).num_bytes.tolist(),
        "tokenizer": located(settings.tokenizer),
        **({"unigram_bpb": unigram_bits_per_byte(data)} if plan.kind == "depth" else {}),
    }


def _check_data(arm: Arm, data: Dataset) -> None:
    """Refuse text that is too little for an arm, or that it would have to see more of than there is."""
    train = arm.train
    check_size(data, seq_len=train.seq_len, batch_size=train.batch_size)
    room = (data.train.num_tokens // train.seq_len - 1) * train.seq_len
    if train.unique_tokens is not None and train.unique_tokens > room:
        raise RequestError(
            f"the arm {arm.name!r} reads {train.unique_tokens:,} different tokens and {data.name} has {room:,} to "
            "train on: give more text or a smaller train.tokens"
        )


def _check_arm(plan: Plan, arm: Arm) -> None:
    """Build and run the arm on meta tensors, so that a part that cannot work is refused before any training."""
    try:
        describe.describe_arm(plan, arm)
        list(roles(on_meta(arm.model)))
        ffn_output_gain(arm.model, arm.train)
    except ParibusError:
        raise
    except Exception as error:
        reason = (str(error).strip().splitlines() or ["no reason"])[0]
        raise RequestError(f"the arm {arm.name!r} cannot be run: {type(error).__name__}: {reason}") from error


def run(
    prepared: Prepared,
    out: Path,
    *,
    command: str,
    listener: Listener,
    launching: Launching | None = None,
    budget_seconds: float | None = None,
) -> tuple[dict[str, Any], dict[str, Path]]:
    """Run what is missing of the study in `out` and write its report; returns results and the report's files.

    Trials that failed stand in the results as such. Raises `WorkError` when nothing could be done at all, or
    the disk is full.
    """
    try:
        open_folder(out)
        return _run(
            prepared,
            out,
            command=command,
            listener=listener,
            launching=launching or local_launcher,
            budget_seconds=budget_seconds,
        )
    except OSError as error:
        raise WorkError(
            f"the study in {out} stopped: {error.strerror or error}; finished trials are kept, run the same "
            "command again when that is mended"
        ) from error


def _run(
    prepared: Prepared,
    out: Path,
    *,
    command: str,
    listener: Listener,
    launching: Launching,
    budget_seconds: float | None,
) -> tuple[dict[str, Any], dict[str, Path]]:
    plan, division = prepared.plan, prepared.division
    with (
        hold(out) as lock,
        Ledger(out / LEDGER, plan_sha256=plan.sha256, plan=plan.to_dict()) as ledger,
    ):
        (out / PLAN).write_text(json.dumps(plan.to_dict(), indent=2) + "\n")
        ledger.begin_session(
            {
                **environment.describe(),
                **division.describe(),
                **({"malloc": ALLOCATOR} if prepared.data is not None else {}),
                "command": command,
                "began": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            }
        )
        with launching(prepared, out, lock) as launcher:
            ran = execute(plan, ledger, launcher, listener=listener, budget_seconds=budget_seconds)
        outcome = results.build(plan, ran, ledger.results(), sessions=ledger.sessions(), notes=prepared.notes)
        files = write_report(outcome, out)
    return outcome, files


def local_launcher(prepared: Prepared, folder: Path, lock: int) -> LocalLauncher:
    """Workers on this machine, as many as the division says."""
    return _local(prepared, prepared.division.workers, folder, lock)


def _local(prepared: Prepared, workers: int, folder: Path, lock: int) -> LocalLauncher:
    assert prepared.data is not None
    return LocalLauncher(
        workers=workers,
        threads=prepared.division.threads,
        data=prepared.data.folder,
        folder=folder,
        lock=lock,
    )


def _speed_launcher(prepared: Prepared) -> speed.MakeLauncher:
    return lambda workers, folder, lock: _local(prepared, workers, folder, lock)


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
    assert data is not None
    rows = [describe.describe_arm(plan, arm) for arm in plan.arms]
    tokens_per_second, seconds = speed.expected(
        plan, data, _speed_launcher(prepared), workers=division.workers
    )
    control_names = plan.controls
    return {
        "study": plan.study,
        "kind": plan.kind,
        "metric": "val_bpb",
        "baseline": plan.baseline,
        "matched": plan.matched,
        "data": dict(plan.data),
        "arms": [row for row in rows if row["name"] not in control_names],
        "controls": [row for row in rows if row["name"] in control_names],
        "rates": list(plan.rates),
        "seeds": list(plan.seeds),
        "schemes": list(plan.schemes),
        "looks": [dataclasses.asdict(look) for look in plan.looks],
        "trials": len(plan.trials(plan.rates)),
        **division.describe(),
        "tokens_per_second": tokens_per_second,
        "expected_minutes": seconds / 60,
        "plan_sha256": plan.sha256,
    }
