"""What a trial needs in memory, estimated from shapes before anything is allocated."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from paribus.errors import RequestError
from paribus.model.config import ModelConfig
from paribus.model.count import num_params
from paribus.train.config import TrainConfig

_PROCESS = 700 * 2**20  # Python, torch and compiled code, measured on Linux
_PER_PARAMETER = 18  # float32 master, gradient and two moments, and a copy in bfloat16
_LARGEST = 2**40


def trial_bytes(model: ModelConfig, train: TrainConfig) -> int:
    """Upper estimate of one worker's memory: parameters and their state, activations kept for backward."""
    for name, size in (("d_model", model.d_model), ("d_ff", model.d_ff), ("num_layers", model.num_layers)):
        if size > _LARGEST:
            raise RequestError(f"model.{name} {size:,} is beyond any machine")
    # Layers are alike, so two counts give any depth without building it.
    one, two = (num_params(dataclasses.replace(model, num_layers=layers)) for layers in (1, 2))
    params = one + (model.num_layers - 1) * (two - one)
    assert model.head_dim is not None
    tokens = train.tokens_per_step
    heads = model.num_heads * model.head_dim
    per_token_layer = (
        2 * (8 * model.d_model + 5 * heads + 4 * model.d_ff) + 8 * model.num_heads * train.seq_len
    )
    per_token = model.num_layers * per_token_layer + 10 * model.vocab_size + 12 * model.d_model
    return _PROCESS + _PER_PARAMETER * params + tokens * per_token


def machine_bytes() -> int:
    """Memory this process may use: the machine's, or less where a control group says so."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        return min(total, int(limit)) if limit.isdigit() else total
    except OSError:
        return total


def workers_that_fit(model: ModelConfig, train: TrainConfig, *, wanted: int) -> int:
    """At most `wanted` workers that fit the machine together; raises `RequestError` if not even one does."""
    need, have = trial_bytes(model, train), machine_bytes()
    if need > have:
        raise RequestError(
            f"one trial needs about {need / 2**30:,.1f} GiB and this machine has {have / 2**30:.1f}: make "
            "model.d_model, model.num_layers, train.batch_size or train.seq_len smaller"
        )
    return max(1, min(wanted, have // need))
