"""One run from request to saved model: prepare the text, plan, hold the folder, train or go on, save, write."""

from __future__ import annotations

import dataclasses
import json
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
import yaml

from paribus.cores import cores
from paribus.errors import RequestError, WorkError
from paribus.families.saving import save
from paribus.files.appearing import write_whole
from paribus.model.count import num_params
from paribus.model.transformer import Transformer
from paribus.ops.sharded import load_whole
from paribus.study import environment
from paribus.study.engine import Listener
from paribus.study.folder import hold
from paribus.study.single.folder import (
    CHECKPOINT,
    MODEL,
    OTHERWISE,
    RESULT,
    SETTINGS,
    open_folder,
    read_result,
)
from paribus.study.single.plan import RunPlan, Saving, computing_code, decided, make_plan, saving_of
from paribus.study.single.result import describe, write_curves, write_result
from paribus.study.single.settings import RunSettings
from paribus.text.data import check_size, default_cache, prepare
from paribus.text.data.sft import is_packed, load_packed
from paribus.text.tokenizers import get_tokenizer
from paribus.train import checkpoint as checkpoints
from paribus.train.config import TrainConfig, objective_for
from paribus.train.examples import Data, check_packed, scored_per_row
from paribus.train.program import Program
from paribus.train.ranks import ALONE, Ranks
from paribus.train.run import Watch, run

_ONE_CTRL_C = 1.0  # seconds


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A run that is ready: `weights` is the model that it begins from, if any, `ranks` the processes that train it."""

    settings: RunSettings
    plan: RunPlan
    data: Data
    saving: Saving
    weights: Transformer | None
    params: int
    ranks: Ranks = ALONE
    notes: tuple[str, ...] = field(default=())  # what was decided for the user and should be said


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A finished run: its folder, and what stands in its result.json. `earlier` if it was finished before."""

    folder: Path
    result: Mapping[str, Any]
    earlier: bool = False


def make(
    settings: RunSettings,
    *,
    leave_out: Sequence[Path] = (),
    progress: Callable[[int, int], None] | None = None,
    ranks: Ranks = ALONE,
) -> Prepared:
    """Check the request, prepare the text and plan the run; cheap checks come before any long work.

    `leave_out` are folders that hold no text of the user's, `progress` is told of bytes read, `ranks` will train it
    together. Raises `RequestError`.
    """
    packed = load_packed(settings.data) if is_packed(settings.data) else None
    settings, why_eager = decided(settings)
    draft, weights = make_plan(settings, data={}, ranks=ranks)
    saving = saving_of(draft, weights, settings)
    data: Data
    if packed is not None:
        data = packed
        check_packed(data, objective_for(draft.train, draft.model.architecture), draft.train)
    else:
        data = prepare(
            settings.data,
            tokenizer=get_tokenizer(settings.tokenizer),
            cache=default_cache(),
            text_field=settings.text_field,
            leave_out=leave_out,
            workers=cores(),
            progress=progress,
        )
        check_size(data, seq_len=draft.train.seq_len, batch_size=draft.train.batch_size)
    described = {
        "name": data.name,
        "sha256": data.sha256,
        "bytes": data.bytes,
        "train_tokens": data.train.num_tokens,
        "tokenizer": data.tokenizer,
    }
    notes = []
    if settings.like is not None:
        notes.append(settings.like.sentence("the model"))
    if saving.why_not is not None:
        notes.append(f"the model will be saved in our own format, as {saving.why_not}")
    if lost := data.open_tokenizer().loses:
        notes.append(
            f"the tokenizer does not keep {'; '.join(lost)}: bits per byte are those of what it keeps"
        )
    if why_eager is not None:
        notes.append(f"the model will run without torch.compile, about half as fast: {why_eager}")
    return Prepared(
        settings=settings,
        plan=dataclasses.replace(draft, data=described),
        data=data,
        saving=saving,
        weights=weights,
        params=num_params(draft.model),
        ranks=ranks,
        notes=tuple(notes),
    )


def train(
    prepared: Prepared,
    out: Path,
    *,
    listener: Listener,
    command: str | None = None,
    threads: int | None = None,
    again: bool = False,
    checkpoint_seconds: float = 30.0,
    saves: bool = True,
    otherwise: str = OTHERWISE,
) -> Trained:
    """Train the model in `out`, from the checkpoint there if there is one, and save it; what is finished is read.

    The run ends with the same bits however often it was stopped. `threads` are those of torch, where the folder was
    not begun with others; with `again` it begins again in the place of what it left, and without `saves` only the model's
    scores are kept. Of several ranks, which all call this, the first alone writes. Ctrl-C writes a checkpoint and raises
    `KeyboardInterrupt`. `otherwise` says what to do where the folder holds another run. Raises `RequestError` for a
    folder that holds something else, and `WorkError` if the training diverges or the disk is full.
    """
    ranks = prepared.ranks
    threads = threads or max(1, environment.cores() // ranks.local_size)
    ranks.check_same(int(prepared.plan.sha256[:15], 16), "text, settings and checkpoint to begin from")
    with _held(out) if ranks.is_first else nullcontext():
        begun = finished = 0
        if ranks.is_first:
            begun = open_folder(
                out,
                prepared.plan,
                threads=threads,
                processes=ranks.size,
                again=again,
                otherwise=otherwise,
            )
            finished = (out / RESULT).exists()
        begun, finished = ranks.most(begun, finished)  # the others learn it from the first
        if finished:
            result = _earlier(out, listener) if ranks.is_first else {}
            return _finished(Trained(folder=out, result=result, earlier=True), ranks)
        before = torch.get_num_threads()
        torch.set_num_threads(begun)
        try:
            trained = _train(prepared, out, listener, command, begun, checkpoint_seconds, saves)
            return _finished(trained, ranks)
        except OSError as error:
            raise WorkError(
                f"the run in {out} stopped: {error.strerror or error}; run the same command again when that is mended"
            ) from error
        finally:
            torch.set_num_threads(before)


@contextmanager
def _held(out: Path) -> Iterator[None]:
    """The folder of a run, made if need be, for this process alone."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError(f"the output folder {out} cannot be written to: {error.strerror}") from error
    with hold(out):
        yield


def _earlier(out: Path, listener: Listener) -> dict[str, Any]:
    """The result in the folder; its model lies there too, wherever the folder has gone since."""
    result = read_result(out)
    if (saved := result.get("saved")) and (out / MODEL).is_dir():
        result["saved"] = {**saved, "path": str(out / MODEL)}
    elif saved:
        result["saved"] = None
        listener.note(f"the model is no longer in {out / MODEL}")
    return result


def _finished(trained: Trained, ranks: Ranks) -> Trained:
    """What was trained; the first of the ranks says that it has diverged."""
    if ranks.is_first and trained.result["status"] != "done":
        raise WorkError(
            f"the training diverged: {trained.result['reason']}; {trained.folder / RESULT} has its losses, and a rate "
            f"below {trained.result['rate']:.2g} may do better"
        )
    return trained


def _train(
    prepared: Prepared,
    out: Path,
    listener: Listener,
    command: str | None,
    threads: int,
    checkpoint_seconds: float,
    saves: bool,
) -> Trained:
    plan, checkpoint, ranks = prepared.plan, out / CHECKPOINT, prepared.ranks
    if ranks.is_first:
        write_whole(out / SETTINGS, settings_file(prepared).encode())
    program = Program(plan.model, plan.train, scored_per_row=scored_per_row(prepared.data), ranks=ranks)
    per_step, last = plan.train.tokens_per_step, -1

    with _stopping() as stop:

        def progress(done: int, total: int) -> None:
            nonlocal last
            if last < 0:
                listener.planned((done - 1) * per_step, total * per_step)
                last = done - 1
            listener.tokens((done - last) * per_step)
            last = done
            stop.gently = done < total

        result = run(
            program,
            prepared.data,
            plan.train,
            seed=plan.seed,
            rate=plan.rate,
            checkpoint=checkpoint,
            checkpoint_seconds=checkpoint_seconds,
            keep_checkpoint=True,
            weights=_copied(prepared.weights) if prepared.weights is not None else None,
            watch=Watch(
                score_at=plan.score_at,
                scored=lambda step, bits: listener.note(_scored(step, bits, plan.train)),
                stop=lambda: stop.asked is not None,
            ),
            progress=progress,
        )
    described = describe(plan, result) | {
        "params": prepared.params,
        "like": dataclasses.asdict(prepared.settings.like) if prepared.settings.like else None,
        "saved": None,
        "threads": threads,
        "processes": ranks.size,
        "code": computing_code(),
        "command": command,
        "environment": environment.describe(),
    }
    saving = result.status == "done" and saves
    trained = program.whole_model() if saving else None
    if ranks.is_first:
        write_curves(out, described)
        if trained is not None:
            described["saved"] = _save(prepared, trained, out / MODEL)
        write_result(out, described)
        checkpoints.forget(checkpoint)
    ranks.most(0)  # one that ended now could end those that still write
    return Trained(folder=out, result=described)


def _scored(step: int, bits_per_byte: float, train: TrainConfig) -> str:
    return f"step {step:,} of {train.steps:,}: {bits_per_byte:.4f} bits per byte on held-out text"


def _copied(weights: Transformer) -> Callable[[Transformer], None]:
    """What puts these weights into a model of the same config, in its own dtype."""

    def copy(model: Transformer) -> None:
        load_whole(model, weights.state_dict())
        model.origin = weights.origin

    return copy


def _save(prepared: Prepared, model: Transformer, folder: Path) -> dict[str, Any]:
    """The model as other libraries load it where some family has such a one; what an earlier try left is replaced."""
    shutil.rmtree(folder, ignore_errors=True)
    layout: Literal["transformers", "paribus"] = "transformers" if prepared.saving.family else "paribus"
    saved = save(
        model,
        folder,
        layout=layout,
        family=prepared.saving.family,
        beside=prepared.data.open_tokenizer().files(),
    )
    return {
        "path": str(saved.path),
        "family": saved.family,
        "files": list(saved.files),
        "bytes": saved.num_bytes,
        "why_not": prepared.saving.why_not,
    }


def settings_file(prepared: Prepared) -> str:
    """Everything that was resolved, as a file that asks for the same run again."""
    settings, plan = prepared.settings, prepared.plan
    tree: dict[str, Any] = {
        **settings.model_dump(exclude={"model", "train", "like", "rate"}, exclude_none=True),
        "rate": plan.rate,
        "train": dataclasses.asdict(plan.train),
    }
    if settings.finetune is None:
        tree["model"] = settings.model_section() | {"d_ff": plan.model.d_ff}
    return yaml.safe_dump(json.loads(json.dumps(tree)), sort_keys=False)


@dataclass
class _Stop:
    """Whether to stop, and whether a Ctrl-C waits for the step in flight to end."""

    asked: float | None = None  # when
    gently: bool = False


@contextmanager
def _stopping() -> Iterator[_Stop]:
    """Ctrl-C asks once for an end after the step in flight.

    Before the first step, after the last, and a second time, it ends the run at once. Two within a second are one: a
    program around ours may pass on what the terminal sends to both.
    """
    stop = _Stop()
    unheard = threading.current_thread() is not threading.main_thread()
    if unheard or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a shell's background job
        yield stop
        return

    def interrupted(number: int, frame: object) -> None:
        now = time.monotonic()
        if not stop.gently or (stop.asked is not None and now - stop.asked > _ONE_CTRL_C):
            raise KeyboardInterrupt
        stop.asked = now

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
