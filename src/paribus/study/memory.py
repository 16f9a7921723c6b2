"""What a trial needs in memory, estimated from shapes before anything is allocated."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from paribus.errors import RequestError
from paribus.model.config import ModelConfig
from paribus.model.count import num_params
from paribus.ops.attention import choose_backend
from paribus.train.config import TrainConfig
from paribus.train.program import device_type

_PROCESS = 700 * 2**20  # Python, torch and compiled code, measured on Linux
_PER_PARAMETER = 18  # float32 master, gradient and two moments, and a copy in bfloat16


def check_shape(section: Mapping[str, Any]) -> None:
    """Refuse, by arithmetic alone, a model section of which a single layer could not fit the machine."""
    d_model, heads = section["d_model"], section["num_heads"]
    width = heads * (section["head_dim"] or max(d_model // max(heads, 1), 1))
    slot = 2 * d_model * (section["d_ff"] or 4 * d_model)
    _refuse_beyond(_PER_PARAMETER * (slot + 4 * d_model * width))


def trial_bytes(model: ModelConfig, train: TrainConfig) -> int:
    """Upper estimate of one worker's memory: parameters and their state, activations kept for backward."""
    # Layers are alike, so two counts give any depth without building it.
    one, two = (num_params(dataclasses.replace(model, num_layers=layers)) for layers in (1, 2))
    params = one + (model.num_layers - 1) * (two - one)
    assert model.head_dim is not None
    heads = model.num_heads * model.head_dim
    size = 2 if train.dtype == "bfloat16" else 4
    per_token_layer = size * (8 * model.d_model + 5 * heads + 4 * model.d_ff)
    if choose_backend(seq_len=train.seq_len, device_type=device_type()) == "plain":
        per_token_layer += 4 * size * model.num_heads * train.seq_len
    per_token = model.num_layers * per_token_layer + 10 * model.vocab_size + 12 * model.d_model
    return _PROCESS + _PER_PARAMETER * params + train.tokens_per_step * per_token


def machine_bytes() -> int:
    """Memory trials may use: the GPU's, else the machine's, or less where a control group says so."""
    if device_type() == "cuda":
        return torch.cuda.mem_get_info()[1]
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        return min(total, int(limit)) if limit.isdigit() else total
    except OSError:
        return total


def workers_that_fit(model: ModelConfig, train: TrainConfig, *, wanted: int) -> int:
    """At most `wanted` workers that fit the machine together; raises `RequestError` if not even one does."""
    need = trial_bytes(model, train)
    _refuse_beyond(need)
    return max(1, min(wanted, machine_bytes() // need))


def _refuse_beyond(need: int) -> None:
    have = machine_bytes()
    if need > have:
        raise RequestError(
            f"one trial needs about {need / 2**30:,.1f} GiB and there are {have / 2**30:.1f}: make "
            "model.d_model, model.d_ff, model.num_layers, train.batch_size or train.seq_len smaller"
        )
