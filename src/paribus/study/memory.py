"""What a trial needs in memory, estimated from shapes before anything is allocated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from paribus.errors import RequestError
from paribus.model.config import ModelConfig
from paribus.model.count import params_at_any_depth
from paribus.model.meta import shapes_only
from paribus.ops.attention import choose_backend
from paribus.ops.training_cross_entropy import parts_that_fit
from paribus.train.config import TrainConfig
from paribus.train.peak_memory import machine_bytes
from paribus.train.program import device_type, resolve
from paribus.train.ranks import ALONE, Ranks

_PROCESS = 700 * 2**20  # Python, torch and compiled code, measured on Linux
_PER_PARAMETER = 18  # float32 master, gradient and two moments, and a copy in bfloat16


def check_shape(section: Mapping[str, Any]) -> None:
    """Refuse, by arithmetic alone, a model section of which a single layer could not fit the machine."""
    d_model, heads = section["d_model"], section["num_heads"]
    width = heads * (section["head_dim"] or max(d_model // max(heads, 1), 1))
    slot = 2 * d_model * (section["d_ff"] or 4 * d_model)
    _refuse_beyond(_PER_PARAMETER * (slot + 4 * d_model * width))


def trial_bytes(
    model: ModelConfig, train: TrainConfig, *, ranks: Ranks = ALONE, from_weights: bool = False
) -> int:
    """Upper estimate of one worker's memory: parameters and their state, activations kept for backward.

    With several `ranks`, of each of them; `from_weights`: each reads a whole model before it keeps its part.
    """
    params = params_at_any_depth(model)
    layers = sum(stack.depth.num_layers for stack in model.stacks().values())
    assert model.head_dim is not None
    heads = model.num_heads * model.head_dim
    size = 2 if train.dtype == "bfloat16" else 4
    per_token_layer = size * (8 * model.d_model + 5 * heads + 4 * model.d_ff)
    if _keeps_probabilities(model, train):
        per_token_layer += 4 * size * model.num_heads * train.seq_len
    per_token = layers * per_token_layer + 12 * model.d_model
    if model.head_transform is not None:
        per_token += 4 * size * model.d_model
    tokens, dtype = train.tokens_per_step // ranks.size, getattr(torch, resolve(train)[0].dtype)
    have = ranks.share_of(machine_bytes())
    parts = parts_that_fit(tokens, model.vocab_size, dtype=dtype, memory_bytes=have)
    # Of a part: the logits and their gradient. Beside them the gradient of the head, with the share of a part.
    logits = 2 * tokens * model.vocab_size * dtype.itemsize // parts + 6 * model.vocab_size * model.d_model
    state = _PER_PARAMETER * params // ranks.size
    if from_weights:
        state = max(state, 4 * params + 4 * params // ranks.size)
    if ranks.size > 1:
        # Those of a block, of the embedding and of the head are gathered, with their gradients.
        state += 8 * (params // max(layers, 1) + 2 * model.vocab_size * model.d_model)
    if ranks.size > 1 and device_type() == "cpu":  # a checkpoint, which the first of them puts together
        state += 12 * params // ranks.local_size
    return _PROCESS + state + tokens * per_token + logits


def _keeps_probabilities(model: ModelConfig, train: TrainConfig) -> bool:
    """Whether some layer's attention is plain, and so keeps a number for each query and key."""
    dtype: torch.dtype = getattr(torch, resolve(train)[0].dtype)
    with shapes_only():
        layers = [model.build_attention(layer) for layer in range(len(model.specs("attention")))]
        positions = [model.build_position(layer) for layer in range(len(model.specs("position")))]
    if any(getattr(layer, "plain_only", False) for layer in layers):
        return True
    chosen = {
        choose_backend(
            seq_len=train.seq_len,
            device_type=device_type(),
            dtype=dtype,
            biased="bias" in position.acts_on,
        )
        for position in positions
    }
    return "plain" in chosen or any(position.acts_on & {"score", "value"} for position in positions)


def workers_that_fit(model: ModelConfig, train: TrainConfig, *, wanted: int) -> int:
    """At most `wanted` workers that fit the machine together; raises `RequestError` if not even one does."""
    check_fits(model, train)
    return max(1, min(wanted, machine_bytes() // trial_bytes(model, train)))


def check_fits(
    model: ModelConfig, train: TrainConfig, *, ranks: Ranks = ALONE, from_weights: bool = False
) -> None:
    """Raises `RequestError` for what does not fit the machine, or not its share of it where `ranks` train together."""
    _refuse_beyond(trial_bytes(model, train, ranks=ranks, from_weights=from_weights), ranks=ranks)


def _refuse_beyond(need: int, *, ranks: Ranks = ALONE) -> None:
    have = ranks.share_of(machine_bytes())
    if need > have:
        raise RequestError(
            f"one trial needs about {need / 2**30:,.1f} GiB and there are {have / 2**30:.1f}: make "
            "model.d_model, model.d_ff, model.num_layers, train.batch_size or train.seq_len smaller"
        )
