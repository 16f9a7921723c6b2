"""A model with its loss, compiled once and used for many runs.

Trials of one architecture differ in seed and rate only, so a program keeps its compiled graph and has its
parameters drawn anew for each. Evaluation runs the training graph too, gradients of the head and all: another
grad mode or another batch shape would compile a second one. What ran (dtype, compiled or not) is part of the
program and recorded.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import shlex
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from paribus.model.config import ModelConfig
from paribus.model.initialise import allocate
from paribus.model.transformer import Transformer
from paribus.ops.precision import fast_dtype
from paribus.ops.training_cross_entropy import parts_that_fit, training_cross_entropy
from paribus.train.config import TrainConfig, objective_for
from paribus.train.objectives import IGNORE, Examples
from paribus.train.peak_memory import machine_bytes
from paribus.train.ranks import ALONE, Ranks


@dataclass(frozen=True, kw_only=True)
class Batch:
    """`Examples` of an objective as tensors on a device."""

    inputs_BT: Tensor
    targets_BT: Tensor
    inputs_valid_BT: Tensor | None = None
    source_BS: Tensor | None = None
    source_valid_BS: Tensor | None = None
    position_BT: Tensor | None = None
    document_BT: Tensor | None = None

    @classmethod
    def of(cls, examples: Examples, device: torch.device) -> Batch:
        """The examples, copied to the device."""

        def on_device(array: np.ndarray | None) -> Tensor | None:
            return None if array is None else torch.from_numpy(array).to(device, non_blocking=True)

        inputs, targets = on_device(examples.inputs), on_device(examples.targets)
        assert inputs is not None and targets is not None
        return cls(
            inputs_BT=inputs,
            targets_BT=targets,
            inputs_valid_BT=on_device(examples.inputs_valid),
            source_BS=on_device(examples.source),
            source_valid_BS=on_device(examples.source_valid),
            position_BT=on_device(examples.position),
            document_BT=on_device(examples.document),
        )

    @property
    def read(self) -> dict[str, Any]:
        """What the model is told beside the ids, by its own names."""
        return {
            "valid_BT": self.inputs_valid_BT,
            "source_BS": self.source_BS,
            "source_valid_BS": self.source_valid_BS,
            "position_T": self.position_BT,
            "document_BT": self.document_BT,
        }


class Loss(NamedTuple):
    """What a batch costs: `mean` [], `nats_BT` of each target, and what layers add, `auxiliary` [] or None.

    `mean` is the sum of the nats over the targets that a batch of training has; only it has gradients. `nats_BT` is
    for reading, 0 where nothing is scored.
    """

    mean: Tensor
    nats_BT: Tensor
    auxiliary: Tensor | None

    @property
    def total(self) -> Tensor:
        """What a step descends, []."""
        return self.mean if self.auxiliary is None else self.mean + self.auxiliary

    @property
    def nats_B(self) -> Tensor:
        """Summed nats of each row."""
        return self.nats_BT.sum(dim=1)


_ABOUT_TO_BE_WRITTEN = 10.0  # seconds


@functools.cache
def forget_broken_libraries() -> None:
    """Remove what a compiler that was killed left in its cache: an empty library would stop every later start.

    One that another process is about to write is not as old.
    """
    from torch._inductor.runtime.cache_dir_utils import cache_dir

    now = time.time()
    for folder, _, names in os.walk(cache_dir()):
        for path in (Path(folder, name) for name in names if name.endswith(".so")):
            with contextlib.suppress(OSError):
                if path.stat().st_size == 0 and now - path.stat().st_mtime > _ABOUT_TO_BE_WRITTEN:
                    path.unlink()


#: Models of up to so many layers are compiled whole: 4 to 10 % faster, and the time to compile grows with them.
WHOLE_UP_TO = 6


class Program:
    """`loss(batch)`: the `Loss` of a step.

    `objective` makes examples of text, `dtype` is the compute dtype, `compiled` whether the loss runs through
    `torch.compile`. A step's nats are divided by the targets of `batch_size` rows: as many each as the objective
    scores, or `scored_per_row` where rows differ and that is their mean. With several `ranks` a batch is the rows that
    this one reads, the model is sharded, and `mean` and `auxiliary` are this one's shares. Raises `RequestError` if the
    objective is for another architecture than the model's, or the ranks cannot share a batch or the model.
    """

    def __init__(
        self,
        config: ModelConfig,
        train: TrainConfig,
        *,
        scored_per_row: float | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        self.ranks = ranks
        self.config = config
        train, _ = resolve(train)
        self.objective = objective_for(train, config.architecture)
        self.device = ranks.device
        self.dtype: torch.dtype = getattr(torch, train.dtype)
        self.compiled = train.compile == "on"
        with ranks.building():
            self.model: Transformer = allocate(config, device=self.device)
        lengths = self.objective.lengths(train.seq_len)
        self.scored_per_step = train.batch_size * (scored_per_row or lengths.scored)
        # By what the machine has, not by what is free just now: two runs on it must do the same.
        self.loss_parts = parts_that_fit(
            train.batch_size // ranks.size * lengths.inputs,
            config.vocab_size,
            dtype=self.dtype,
            memory_bytes=ranks.share_of(machine_bytes()),
        )
        self._buffers = {name: buffer.clone() for name, buffer in self.model.named_buffers()}
        self._run, self._head_run = self._forward, self.head_loss
        blocks = list(self.model.blocks())
        by = "model" if len(blocks) <= WHOLE_UP_TO and ranks.size == 1 else "block"
        self.compiled_by = by if self.compiled else None
        if self.compiled:
            forget_broken_libraries()
            # fullgraph: past torch's recompile limit it raises, where it would else run eager in silence.
            torch._dynamo.reset()
        if self.compiled_by == "model":
            self._run = torch.compile(self._forward, fullgraph=True, dynamic=False)
        elif self.compiled_by == "block":
            for block in blocks:  # alike but for their weights, so they share their graphs
                block.forward = torch.compile(block.forward, fullgraph=True, dynamic=False)  # type: ignore[method-assign]
            self._head_run = torch.compile(self.head_loss, fullgraph=True, dynamic=False)
        ranks.shard(self.model)

    def loss(self, batch: Batch) -> Loss:
        """The loss of a batch of training's shape."""
        return Loss(*self._run(batch.inputs_BT, batch.targets_BT, **batch.read))

    def _forward(
        self, inputs_BT: Tensor, targets_BT: Tensor, **read: Any
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        stream_BTD, aux = self.model.stream(inputs_BT, dtype=self.dtype, **read)
        mean, nats_BT = self._head_run(stream_BTD, targets_BT)
        auxiliary = aux.get("loss")
        return mean, nats_BT, None if auxiliary is None else auxiliary / self.ranks.size

    def head_loss(self, stream_BTD: Tensor, targets_BT: Tensor) -> tuple[Tensor, Tensor]:
        """`mean` and `nats_BT` of what the head makes of the stream; never compiled by itself."""
        mean, nats_N = training_cross_entropy(
            stream_BTD,
            self.model.head_weight,
            targets_BT,
            divisor=self.scored_per_step,
            bias_V=self.model.head.bias,
            ignore_index=IGNORE,
            softcap=self.config.logit_softcap,
            scale=self.config.logit_scale,
            parts=self.loss_parts,
        )
        return mean, nats_N.view_as(targets_BT)

    def whole_model(self) -> Transformer | None:
        """The model with all of its weights; of several ranks, which all ask, the first gets it, and on the CPU."""
        if self.ranks.size == 1:
            return self.model
        state = self.ranks.collect(self.model.state_dict())
        if not self.ranks.is_first:
            return None
        model = allocate(self.config)
        model.load_state_dict(state)
        model.origin = self.model.origin
        return model

    @contextlib.contextmanager
    def scoring(self) -> Iterator[None]:
        """Parts that behave otherwise when scored (batch statistics, random slopes) do so in this context.

        The others keep their mode, so that scoring runs the graph that training has compiled.
        """
        modules = [module for module in self.model.modules() if getattr(module, "mode_dependent", False)]
        for module in modules:
            module.eval()
        try:
            yield
        finally:
            for module in modules:
                module.train()
            self.ranks.shard_again(self.model)

    def reset(self) -> None:
        """Forget what earlier runs left: gradients, and buffers that parts have changed."""
        self.model.zero_grad(set_to_none=True)
        with torch.no_grad():
            for name, buffer in self.model.named_buffers():
                buffer.copy_(self._buffers[name])

    def branch_rms(self, slot: str, batch: Batch) -> float:
        """Root mean square of what the slot's part writes, over all layers, for this batch."""
        squares: list[Tensor] = []
        hooks = [
            getattr(block, slot).register_forward_hook(
                lambda _module, _inputs, output: squares.append(_mean_square(output))
            )
            for block in self.model.blocks()
        ]
        try:
            with torch.no_grad(), self.scoring():
                self.model(batch.inputs_BT, dtype=torch.float32, **batch.read)
        finally:
            for hook in hooks:
                hook.remove()
        return (self.ranks.total(torch.stack(squares).mean()) / self.ranks.size).sqrt().item()


def _mean_square(output: Tensor | tuple[Tensor, Any]) -> Tensor:
    """Of what a part writes, whether or not it gives more beside."""
    written = output[0] if isinstance(output, tuple) else output
    return written.detach().float().square().mean()


def device_type() -> str:
    """`cuda` where there is one, else `cpu`."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def resolve(train: TrainConfig) -> tuple[TrainConfig, str | None]:
    """`train` with its `auto` settings decided for this machine, and why it runs eager if nobody asked for it.

    bfloat16 where the device multiplies in it, else float32; compiled where there is a working compiler.
    """
    dtype = fast_dtype(device_type()) if train.dtype == "auto" else train.dtype
    compile_, why_eager = train.compile, None
    if compile_ == "auto":
        why_eager = missing_compiler() if device_type() == "cpu" else None
        compile_ = "off" if why_eager else "on"
    return dataclasses.replace(train, dtype=dtype, compile=compile_), why_eager


@functools.cache
def missing_compiler() -> str | None:
    """Why torch.compile cannot work on this CPU, None if it can: it needs a C++ compiler and Python's headers."""
    command = shlex.split(os.environ.get("CXX", "g++" if sys.platform == "linux" else "clang++"))
    arguments = ["-fsyntax-only", "-x", "c++", "-I", sysconfig.get_paths()["include"], "-"]
    try:
        tried = subprocess.run(
            [*command, *arguments], input=b"#include <Python.h>", capture_output=True, check=False
        )
    except OSError:
        return f"no C++ compiler was found ({command[0]})"
    return None if tried.returncode == 0 else f"{command[0]} cannot compile against Python's headers"
