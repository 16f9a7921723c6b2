"""Counts from the config alone: the model is built on the meta device, so nothing is allocated.

There is no second formula: parameters are those of the built model, FLOPs those of the operations it runs.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import nn

from paribus import registry
from paribus.model.config import LAYERED, ModelConfig
from paribus.model.meta import shapes_only
from paribus.model.transformer import Transformer, slot_of
from paribus.ops.attention import Mask
from paribus.parts.context import Context
from paribus.parts.position.base import Position

if TYPE_CHECKING:
    from torch.utils.flop_counter import FlopCounterMode


def on_meta(config: ModelConfig) -> Transformer:
    """The model with parameters and buffers that have shapes and no memory."""
    with shapes_only():
        return Transformer(config)


def num_params(config: ModelConfig) -> int:
    """Number of parameters; tied embeddings count once."""
    return sum(parameter.numel() for parameter in on_meta(config).parameters())


def params_at_any_depth(config: ModelConfig) -> int:
    """`num_params`, without building more layers than two turns of the pattern in which they repeat."""
    turn = math.lcm(*(len(config.specs(slot)) for slot in LAYERED))
    field_of = {"encoder": "num_layers", "decoder": "num_layers"}
    if config.architecture == "encoder_decoder":
        field_of["encoder"] = "encoder_layers"
    shallow: dict[str, Any] = {field_of[name]: turn for name in config.stacks()}
    params = base = num_params(dataclasses.replace(config, **shallow))
    for name, stack in config.stacks().items():
        deeper = {**shallow, field_of[name]: 2 * turn}
        a_turn = num_params(dataclasses.replace(config, **deeper)) - base
        params += (stack.depth.num_layers // turn - 1) * a_turn
    return params


def slot_params(config: ModelConfig, slot: str) -> int:
    """Number of parameters that belong to a slot, over all layers."""
    parameters = on_meta(config).named_parameters()
    return sum(parameter.numel() for name, parameter in parameters if slot_of(name) == slot)


def flops_per_token(config: ModelConfig, *, seq_len: int) -> float:
    """Training FLOPs for one token (forward and backward) in windows of `seq_len` tokens.

    An encoder-decoder reads a source of as many tokens beside. Matrix products only, a multiply and an add being
    two; attention counts all seq_len keys, causal or not; what a backward pass replays does not count twice.
    """
    source_len = seq_len if config.architecture == "encoder_decoder" else None
    return training_flops(on_meta(config), seq_len=seq_len, source_len=source_len) / seq_len


def training_flops(model: Transformer, *, seq_len: int, source_len: int | None = None) -> int:
    """FLOPs of a forward and backward pass of this model over one window of `seq_len` tokens.

    `source_len` is the length of the source that an encoder-decoder reads.
    """
    device = model.embedding.weight.device
    ids = torch.zeros(1, seq_len, dtype=torch.long, device=device)
    source = None if source_len is None else torch.zeros(1, source_len, dtype=torch.long, device=device)
    with _nothing_replayed(model), _counting() as counter:
        logits = model(ids, source_BS=source)
        F.cross_entropy(logits.flatten(0, 1), ids.flatten()).backward()
    model.zero_grad(set_to_none=True)
    return counter.get_total_flops()


@contextmanager
def _nothing_replayed(model: Transformer) -> Iterator[None]:
    """The model with no product that its feed-forward layers compute twice, for less memory."""
    chosen = {block.ffn: vars(block.ffn)["memory"] for block in model.blocks() if "memory" in vars(block.ffn)}
    try:
        for layer in chosen:
            vars(layer)["memory"] = "keep"
        yield
    finally:
        for layer, memory in chosen.items():
            vars(layer)["memory"] = memory


def _counting() -> FlopCounterMode:
    from torch.utils.flop_counter import FlopCounterMode  # it imports triton where that is installed

    return FlopCounterMode(display=False)


def attention_flops(
    attention: nn.Module, *, d_model: int, head_dim: int, num_heads: int, seq_len: int
) -> float:
    """Forward FLOPs for one token of an attention layer on meta in windows of `seq_len`; all keys count."""
    card = registry.get("position", "none")
    with shapes_only(), _counting() as counter:
        position = card.build(d_model=d_model, head_dim=head_dim, num_heads=num_heads, max_seq_len=seq_len)
        assert isinstance(position, Position)
        context = Context(position=position, state={}, mask=Mask(causal=True), backend="plain")
        attention(torch.empty(1, seq_len, d_model), context)
    return counter.get_total_flops() / seq_len
