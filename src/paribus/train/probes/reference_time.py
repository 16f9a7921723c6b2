"""Seconds of a step as it ran against the plain eager form, so that a slow kernel is not blamed on a part."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from paribus.parts.context import Context
from paribus.text.data import Dataset
from paribus.train.config import TrainConfig
from paribus.train.evaluation import heldout_examples
from paribus.train.optimiser import Optimiser, descend, make_optimiser
from paribus.train.probes.base import Probe, check_whole, eager_loss, untouched
from paribus.train.program import Batch, Loss, Program

_RATE = 1e-6  # what a step does to the weights is undone; that it is small keeps them finite meanwhile


@dataclass(frozen=True, kw_only=True)
class ReferenceTimeProbe(Probe):
    """{fused_seconds, reference_seconds, ratio}: medians of `steps` training steps of each form, in turn.

    A step is the pass forward and backward, the clip and AdamW, on one batch of training's shape in the dtype of
    the run. `fused` is the program as it ran (compiled, attention by `choose_backend`), `reference` runs eager
    with plain attention; ratio = reference / fused. What layers replay in their backward pass they replay in
    both. Costs 2 (steps + 1) steps, a copy of the weights and AdamW's moments; the weights are put back.
    """

    steps: int = 10

    def __post_init__(self) -> None:
        check_whole("the reference_time probe's steps", self.steps)

    def at_end(self, program: Program, data: Dataset, config: TrainConfig, *, seed: int) -> dict[str, Any]:
        # Examples are filled up to a whole batch, so the shape is the one that was compiled.
        batch = Batch.of(
            next(heldout_examples(program.objective, data, config).batches(config.batch_size)), program.device
        )
        forms: dict[str, Callable[[], Loss]] = {
            "fused": lambda: program.loss(batch),
            "reference": lambda: _reference(program, batch),
        }
        seconds: dict[str, list[float]] = {name: [] for name in forms}
        with untouched(program, weights=True):
            optimiser = make_optimiser(program.model, config, peak_rate=_RATE)
            for _ in range(self.steps + 1):
                for name, loss in forms.items():
                    seconds[name].append(_timed_step(program, loss, optimiser, config))
        # The first of each warms up.
        fused, reference = (statistics.median(seconds[name][1:]) for name in ("fused", "reference"))
        return {
            "fused_seconds": fused,
            "reference_seconds": reference,
            "ratio": reference / fused,
            "steps": self.steps,
            "compiled": program.compiled,
        }


def _timed_step(
    program: Program, loss: Callable[[], Loss], optimiser: Optimiser, config: TrainConfig
) -> float:
    _wait(program.device)
    started = time.perf_counter()
    loss().total.backward()
    descend(program.model.parameters(), optimiser, clip=config.clip)
    _wait(program.device)
    return time.perf_counter() - started


def _reference(program: Program, batch: Batch) -> Loss:
    """The loss by eager operations and plain attention."""
    layers = [
        getattr(block, name)
        for block in program.model.blocks()
        for name in ("attention", "cross_attention")
        if hasattr(block, name)
    ]
    # The backend comes with the context, so it can be another one without touching layer or model.
    hooks = [layer.register_forward_pre_hook(_plainly) for layer in layers]
    try:
        return eager_loss(program, batch, dtype=program.dtype)
    finally:
        for hook in hooks:
            hook.remove()


def _plainly(_layer: torch.nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(
        dataclasses.replace(given, backend="plain") if isinstance(given, Context) else given
        for given in arguments
    )


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
