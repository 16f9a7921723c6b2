"""A model with its loss, compiled once and used for many runs.

Trials of one architecture differ in seed and rate only, so a program keeps its compiled graph and has its
parameters drawn anew for each. Evaluation runs the training graph too: another grad mode or another batch
shape would compile a second one. What ran (dtype, compiled or not) is part of the program and recorded.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import shlex
import subprocess
import sys
import sysconfig
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

    `dtype` is the compute dtype, `compiled` whether the loss runs through `torch.compile`.
    """

    def __init__(self, config: ModelConfig, train: TrainConfig) -> None:
        self.config = config
        train, _ = resolve(train)
        self.device = torch.device(device_type())
        self.dtype: torch.dtype = getattr(torch, train.dtype)
        self.compiled = train.compile == "on"
        self.model: Transformer = allocate(config, device=self.device)
        self._buffers = {name: buffer.clone() for name, buffer in self.model.named_buffers()}
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

    def reset(self) -> None:
        """Forget what earlier runs left: gradients, and buffers that parts have changed."""
        self.model.zero_grad(set_to_none=True)
        with torch.no_grad():
            for name, buffer in self.model.named_buffers():
                buffer.copy_(self._buffers[name])

    def branch_rms(self, slot: str, inputs_BT: Tensor) -> float:
        """Root mean square of what the slot's part writes, over all layers, for this batch."""
        squares: list[Tensor] = []
        hooks = [
            getattr(block, slot).register_forward_hook(
                lambda _module, _inputs, output: squares.append(output.detach().float().square().mean())
            )
            for block in self.model.blocks()
        ]
        try:
            with torch.no_grad():
                self.model(inputs_BT, dtype=torch.float32)
        finally:
            for hook in hooks:
                hook.remove()
        return torch.stack(squares).mean().sqrt().item()


def device_type() -> str:
    """`cuda` where there is one, else `cpu`."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def resolve(train: TrainConfig) -> tuple[TrainConfig, str | None]:
    """`train` with its `auto` settings decided for this machine, and why it runs eager if nobody asked for it.

    bfloat16 where the device multiplies in it, else float32; compiled where there is a working compiler.
    """
    dtype = train.dtype
    if dtype == "auto":
        fast = (
            torch.cuda.is_bf16_supported()
            if device_type() == "cuda"
            else torch.cpu._is_avx512_bf16_supported()
        )
        dtype = "bfloat16" if fast else "float32"
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
