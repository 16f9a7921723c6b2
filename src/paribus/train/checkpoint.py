"""A run's checkpoint: weights, optimiser and what the run remembers of its steps; gone when the run is done."""

from __future__ import annotations

import contextlib
import glob
import os
import platform
import sys
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from paribus.ops.sharded import load_whole
from paribus.train.optimiser import Optimiser
from paribus.train.ranks import ALONE, Ranks


@dataclass
class State:
    """What a checkpoint holds beside weights and optimiser."""

    step: int = 0
    losses: list[float] = field(default_factory=list)  # summed nats of each step
    seconds: list[float] = field(default_factory=list)  # of each step; nan where it compiled
    compile_seconds: float = 0.0
    clipped: int = 0
    scores: list[list[float]] = field(default_factory=list)  # [step, held-out bits per byte]


def save(
    path: Path, model: torch.nn.Module, optimiser: Optimiser, state: State, *, ranks: Ranks = ALONE
) -> None:
    """Write the checkpoint; without room for it the run goes on and can only be repeated, not resumed.

    One of the `ranks` writes it, with the parts of all.
    """
    saved = ranks.collect(
        {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "state": vars(state)}
    )
    if not ranks.is_first:
        return
    # Of this process: a job that a cluster has given up may write at the same place.
    temporary = path.with_name(f"{path.stem}.{platform.node()}-{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:  # ours, and not torch's, which does not say why a write fell short
            torch.save(saved, file)
        os.replace(temporary, path)
    except (
        OSError,
        RuntimeError,
    ) as error:  # torch raises the second as it closes what was not written whole
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
            why = error if isinstance(error, OSError) else error.__context__ or error
            print(f"no checkpoint was written: {why}", file=sys.stderr)


def forget(path: Path) -> None:
    """Remove the checkpoint, and what writers that were killed have left of theirs."""
    for each in (path, *path.parent.glob(f"{glob.escape(path.stem)}.*.tmp")):
        each.unlink(missing_ok=True)


def load(path: Path, model: torch.nn.Module, optimiser: Optimiser, *, ranks: Ranks = ALONE) -> State | None:
    """The state of a checkpoint, its weights and moments put in place; None if it cannot be used.

    Each of several `ranks` takes its parts from the file.
    """
    try:
        with zipfile.ZipFile(path) as archive:  # torch itself compares no checksums
            if (damaged := archive.testzip()) is not None:
                raise ValueError(f"{damaged} in it was changed after it was written")
        saved: dict[str, Any] = torch.load(path, weights_only=True, mmap=ranks.size > 1)
        load_whole(model, saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        return State(**saved["state"])
    except Exception as error:  # noqa: BLE001 - torch raises whatever it stumbles over in a broken file
        with contextlib.suppress(OSError):
            print(f"{path} cannot be read and is not used: {error}", file=sys.stderr)
        return None
