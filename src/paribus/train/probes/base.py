"""What a probe is, and what all of them need: leave no trace, run eager, read held-out text.

A probe runs beside a training run that must not notice it: no bit of the result may depend on what else was
measured, and nothing may be compiled anew.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from paribus.errors import RequestError
from paribus.text.data import Dataset
from paribus.train.config import TrainConfig
from paribus.train.evaluation import heldout_examples
from paribus.train.objectives import IGNORE
from paribus.train.program import Batch, Loss, Program


class Probe(ABC):
    """Something a run measures beside its loss; the fields of a subclass are its options.

    Results are plain data that JSON can hold; what is not a finite number is None. The model is left as it was
    found: parameters, buffers, gradients, modes and random state.
    """

    def at_start(self, program: Program, data: Dataset, config: TrainConfig, *, seed: int) -> dict[str, Any]:
        """Once the parameters are drawn and before the first step; requests that cannot be met raise here."""
        return {}

    @abstractmethod
    def at_end(self, program: Program, data: Dataset, config: TrainConfig, *, seed: int) -> dict[str, Any]:
        """After training and scoring, whatever came of them."""


@contextlib.contextmanager
def untouched(program: Program, *, weights: bool = False) -> Iterator[None]:
    """Gradients start empty inside; outside they, modes, buffers and random state are what they were.

    With `weights` the parameters are put back too, at the price of a copy.
    """
    modules = list(program.model.modules())
    modes = [module.training for module in modules]
    buffers = [
        (module, name, buffer, buffer.clone())
        for module in modules
        for name, buffer in module.named_buffers(recurse=False)
    ]
    parameters = list(program.model.parameters())
    grads = [parameter.grad for parameter in parameters]
    kept = [parameter.detach().clone() for parameter in parameters] if weights else []
    for parameter in parameters:
        parameter.grad = None
    with torch.random.fork_rng():
        try:
            yield
        finally:
            for module, mode in zip(modules, modes, strict=True):
                module.training = mode
            with torch.no_grad():
                for module, name, buffer, value in buffers:
                    if getattr(module, name) is not buffer:
                        setattr(module, name, buffer)
                    buffer.copy_(value)
                for parameter, value in zip(parameters, kept, strict=False):
                    parameter.copy_(value)
            for parameter, grad in zip(parameters, grads, strict=True):
                parameter.grad = grad


def eager_loss(program: Program, batch: Batch, *, dtype: torch.dtype) -> Loss:
    """The loss of a batch of any shape, computed eagerly."""
    stream_BTD, aux = program.model.stream(batch.inputs_BT, dtype=dtype, **batch.read)
    mean, nats_BT = program.head_loss(stream_BTD, batch.targets_BT)
    return Loss(mean, nats_BT, aux.get("loss"))


def backward_on_heldout(
    program: Program,
    data: Dataset,
    config: TrainConfig,
    *,
    num_tokens: int,
    watching: Callable[[], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext,
) -> int:
    """Leave in the parameters the gradients of the mean loss over held-out text, in float32, batch by batch.

    The examples are those of `evaluate` for so many tokens, the same for every seed and arm; the layers' own
    loss counts; parts behave as when scored. Each forward pass runs inside `watching()`. Returns how many tokens were read.
    """
    examples = heldout_examples(
        program.objective, data, dataclasses.replace(config, heldout_tokens=num_tokens)
    )
    # Training may run in half the bytes, so half its rows take no more memory.
    rows = max(1, config.batch_size // 2)
    scored = examples.scored().size
    with program.scoring():
        for start in range(0, len(examples.targets), rows):
            fields = {name: _rows(array, start, rows) for name, array in vars(examples).items()}
            batch = Batch.of(dataclasses.replace(examples, **fields), program.device)
            with watching():
                found = eager_loss(program, batch, dtype=torch.float32)
            loss = found.mean * (program.scored_per_step / scored)
            if found.auxiliary is not None:
                loss = loss + found.auxiliary * ((batch.targets_BT != IGNORE).sum() / scored)
            loss.backward()
    return examples.targets.size


def _rows(array: Any, start: int, count: int) -> Any:
    return None if array is None else array[start : start + count]


def finite(number: float | Tensor) -> float | None:
    """The number as JSON can hold it."""
    number = float(number)
    return number if math.isfinite(number) else None


def check_whole(name: str, number: Any, *, least: int = 1) -> None:
    """Refuse an option that is not a whole number of at least so much."""
    if not isinstance(number, int) or isinstance(number, bool) or number < least:
        raise RequestError(f"{name} must be a whole number of at least {least}; it is {number!r}")


def check_causal(name: str, program: Program) -> None:
    """Refuse models that do not read from left to right alone."""
    if program.config.architecture != "decoder":
        raise RequestError(
            f"the probe {name} needs a decoder, which reads from left to right; this model is of architecture "
            f"{program.config.architecture}"
        )
