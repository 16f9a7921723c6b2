"""Which of several equivalent forms ran: so that a slow or rounded form is not taken for a property of a part."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import torch

from paribus.cores import WAITING
from paribus.ops.attention import choose_backend
from paribus.train.program import Program

#: Of the process: they count only when it starts with them, and change how fast a step is.
_SETTINGS = ("OMP_NUM_THREADS", *WAITING, "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")


def as_run(program: Program, *, seq_len: int | None = None) -> dict[str, Any]:
    """Device, dtype, compiled or not and by what, the attention backend of every layer and the class of feed-forward layer.

    `seq_len` is the training length in tokens of text (default: the model's max_seq_len), by which the backend
    is chosen. `attention_backend` joins the names that occur, `attention` has them by layer with the reason
    where it was not the choice of `choose_backend`. `ffn` names the layers' classes, with a `form`
    that is not plain and a `memory` that is not keep. Costs nothing: no tensor is touched.
    """
    seq_len = program.config.max_seq_len if seq_len is None else seq_len
    attention = attention_backends(program, seq_len=seq_len)
    return {
        "device": program.device.type,
        "device_name": _device_name(program.device),
        "threads": torch.get_num_threads(),
        "settings": {name: os.environ[name] for name in _SETTINGS if name in os.environ},
        "dtype": str(program.dtype).removeprefix("torch."),
        "compiled": program.compiled,
        "compiled_by": program.compiled_by,
        "loss_parts": program.loss_parts,
        "attention_backend": _joined(layer["backend"] for layer in attention),
        "attention": attention,
        "ffn": _joined(_form(block.ffn, compiled=program.compiled) for block in program.model.blocks()),
    }


def attention_backends(program: Program, *, seq_len: int) -> list[dict[str, Any]]:
    """{layer, backend, why} of each attention layer, in the order in which they run."""
    lengths = program.objective.lengths(seq_len)
    found = []
    for name, stack in program.config.stacks().items():
        # An encoder beside a decoder reads the source; what a stack reads itself decides for cross-attention.
        beside = program.config.architecture == "encoder_decoder" and name == "encoder"
        length = (lengths.source or 0) if beside else lengths.inputs
        module: Any = getattr(program.model, name)
        for index, block in enumerate(module.blocks):
            position = module.positions[index % len(module.positions)]
            chosen = choose_backend(
                seq_len=length,
                device_type=program.device.type,
                dtype=program.dtype,
                biased="bias" in position.acts_on,
            )
            for sublayer in stack.sublayers[:-1]:
                why = None
                if getattr(getattr(block, sublayer), "plain_only", False):
                    why = "its soft-cap or sinks need the plain form"
                elif sublayer == "attention" and position.acts_on & {"score", "value"}:
                    why = f"{type(position).__name__} needs the plain form"
                backend = chosen if why is None else "plain"
                found.append({"layer": f"{name}.blocks.{index}.{sublayer}", "backend": backend, "why": why})
    return found


def _form(ffn: torch.nn.Module, *, compiled: bool) -> str:
    usual = {"form": "plain", "memory": "keep"}
    settings = {name: getattr(ffn, name, value) for name, value in usual.items()}
    if compiled:  # a layer says what runs in eager mode; a compiled graph fuses the plain form
        settings["form"] = "plain"
    unusual = (f"{name} {value}" for name, value in settings.items() if value != usual[name])
    return " ".join([type(ffn).__name__, *unusual])


def _joined(names: Any) -> str:
    return ", ".join(dict.fromkeys(names))


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
