"""A model with its loss, compiled once and used for many runs.

Trials of one architecture differ in seed and rate only, so a program keeps its compiled graph and has its
parameters drawn anew for each. Evaluation runs the training graph too: another grad mode or another batch
shape would compile a second one. What ran (dtype, compiled or not) is part of the program and recorded.
"""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from paribus.model.config import ModelConfig
from paribus.model.initialise import allocate
from paribus.model.transformer import Transformer
from paribus.train.config import TrainConfig

IGNORE = -100  # a target with this id adds nothing to the loss


class Program:
    """`loss(inputs, targets)`: summed nats of [B, T] targets, for a model of `config`.

    `dtype` is the compute dtype, `compiled` whether the loss runs through `torch.compile`, `why_eager` the
    reason when it does not.
    """

    def __init__(self, config: ModelConfig, train: TrainConfig) -> None:
        self.config = config
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.dtype = compute_dtype(train.dtype, self.device.type)
        self.why_eager = _why_eager(train.compile, self.device.type)
        self.compiled = self.why_eager is None
        self.model: Transformer = allocate(config, device=self.device)
        self.loss: Callable[[Tensor, Tensor], Tensor] = self._loss
        if self.compiled:
            # fullgraph: past torch's recompile limit it raises, where it would else run eager in silence.
            torch._dynamo.reset()
            self.loss = torch.compile(self._loss, fullgraph=True, dynamic=False)

    def _loss(self, inputs_BT: Tensor, targets_BT: Tensor) -> Tensor:
        logits = self.model(inputs_BT, dtype=self.dtype)
        return F.cross_entropy(
            logits.flatten(0, 1).float(), targets_BT.flatten(), ignore_index=IGNORE, reduction="sum"
        )

    def branch_rms(self, slot: str, inputs_BT: Tensor) -> float:
        """Root mean square of what the slot's part writes, over all layers, for this batch."""
        squares: list[Tensor] = []
        blocks = self.model.decoder.blocks
        hooks = [
            getattr(block, slot).register_forward_hook(
                lambda _module, _inputs, output: squares.append(output.detach().float().square().mean())
            )
            for block in blocks
        ]
        try:
            with torch.no_grad():
                self.model(inputs_BT, dtype=torch.float32)
        finally:
            for hook in hooks:
                hook.remove()
        return torch.stack(squares).mean().sqrt().item()


def compute_dtype(wanted: str, device_type: str) -> torch.dtype:
    """bfloat16 where the device multiplies in it, else float32; `auto` decides, other names are taken."""
    if wanted != "auto":
        return getattr(torch, wanted)
    if device_type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float32


@functools.cache
def compiler() -> str | None:
    """The C++ compiler that torch.compile would use, if there is one."""
    return shutil.which(os.environ.get("CXX", "g++")) or shutil.which("clang++")


def _why_eager(wanted: str, device_type: str) -> str | None:
    if wanted == "off":
        return "compilation is switched off"
    if wanted == "auto" and device_type == "cpu" and compiler() is None:
        return "no C++ compiler was found"
    return None
