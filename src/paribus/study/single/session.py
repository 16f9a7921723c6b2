"""A prepared run in its folder: hold it, train or go on, save the model, write the result."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from paribus.errors import RequestError, WorkError
from paribus.families.loading import Origin, load
from paribus.families.saving import save
from paribus.files.appearing import write_whole
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
from paribus.study.single.plan import computing_code
from paribus.study.single.preparing import Prepared, settings_file
from paribus.study.single.result import describe, write_curves, write_result
from paribus.study.single.stopping import stopping
from paribus.train import checkpoint as checkpoints
from paribus.train.config import TrainConfig
from paribus.train.examples import scored_per_row
from paribus.train.program import Program
from paribus.train.ranks import Ranks
from paribus.train.run import Watch, run


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A finished run: its folder, and what stands in its result.json. `earlier` if it was finished before."""

    folder: Path
    result: Mapping[str, Any]
    earlier: bool = False


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

    with stopping() as stop:

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
            weights=_moved(prepared.weights) if prepared.weights is not None else None,
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


def _moved(weights: Transformer) -> Callable[[Transformer], None]:
    """What puts these weights into a model of the same config, in its own dtype, and holds them no longer.

    Asked once more, it reads them again.
    """
    origin = weights.origin
    assert isinstance(origin, Origin)

    def move(model: Transformer) -> None:
        given = load(origin.path) if next(weights.parameters()).is_meta else weights
        load_whole(model, given.state_dict())
        weights.to("meta")
        model.origin = origin

    return move


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
