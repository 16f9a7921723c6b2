"""The causal Transformer: embedding, a stack of blocks made of parts, head.

    tokens -> embedding (+ position) -> [block] * num_layers -> final norm -> head -> logits

A block owns its attention, feed-forward layer and residual placement, so qualified names such as
`decoder.blocks.0.ffn.gate.weight` never depend on which parts were chosen for the other slots.

Shapes: B batch, T positions, D d_model, V vocab_size.
"""

from __future__ import annotations

import functools
from typing import cast

import torch
from torch import Tensor, nn

from paribus.model.config import ModelConfig
from paribus.ops.attention import Mask, choose_backend
from paribus.ops.linear import Linear, linear
from paribus.parts.context import Context
from paribus.parts.init import Role, Roles
from paribus.parts.position.base import Position
from paribus.parts.residual.base import Residual

SUBLAYERS = ("attention", "ffn")


class Block(nn.Module):
    """One layer: attention and a feed-forward layer, joined by the residual placement."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        attention, attention_options = config.part("attention")
        ffn, ffn_options = config.part("ffn")
        residual, residual_options = config.part("residual")
        self.attention = attention.build(
            d_model=config.d_model, num_heads=config.num_heads, head_dim=config.head_dim, **attention_options
        )
        self.ffn = ffn.build(d_model=config.d_model, d_ff=config.d_ff, **ffn_options)
        self.residual = cast(
            Residual,
            residual.build(
                sublayers=SUBLAYERS,
                num_layers=config.num_layers,
                norm=functools.partial(_build_norm, config),
                **residual_options,
            ),
        )

    def forward(self, x_BTD: Tensor, context: Context) -> Tensor:
        return self.residual(
            x_BTD, {"attention": lambda x_BTD: self.attention(x_BTD, context), "ffn": self.ffn}
        )


class Stack(nn.Module):
    """`num_layers` blocks with one shared position encoding, and the norm that the placement asks for."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        position, options = config.part("position")
        self.position = cast(
            Position,
            position.build(
                d_model=config.d_model, head_dim=config.head_dim, max_seq_len=config.max_seq_len, **options
            ),
        )
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        needs_norm = cast(Block, self.blocks[0]).residual.final_norm
        self.final_norm = _build_norm(config) if needs_norm else nn.Identity()

    def forward(self, x_BTD: Tensor) -> Tensor:
        length = x_BTD.shape[1]
        position_T = torch.arange(length, device=x_BTD.device)
        context = Context(
            position=self.position,
            state=self.position.state(position_T),
            mask=Mask(causal=True),
            backend=choose_backend(seq_len=length, device_type=x_BTD.device.type),
        )
        x_BTD = self.position.embed(x_BTD, position_T)
        for block in self.blocks:
            x_BTD = block(x_BTD, context)
        return self.final_norm(x_BTD)


class Transformer(nn.Module):
    """Decoder-only language model: ids [B, T] give logits [B, T, V].

    Parameters stay in the dtype they were made in (float32 for training); the pass runs in `dtype`.
    Build one with `paribus.model.initialise.build`, which draws every parameter by its name.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.decoder = Stack(config)
        self.head = None if config.tie_embeddings else Linear(config.d_model, config.vocab_size)

    def forward(self, ids_BT: Tensor, *, dtype: torch.dtype = torch.float32) -> Tensor:
        x_BTD = self.decoder(self.embedding(ids_BT).to(dtype))
        return linear(x_BTD, self.embedding.weight if self.head is None else self.head.weight)

    def roles(self) -> Roles:
        embedding = Role(kind="embedding", fan_in=self.config.vocab_size, fan_out=self.config.d_model)
        head = Role(kind="head", fan_in=self.config.d_model, fan_out=self.config.vocab_size)
        if self.head is None:
            # A tied table must start as a head: at the scale of an embedding the first logits would be huge.
            return {"embedding.weight": head}
        return {"embedding.weight": embedding, "head.weight": head}


def slot_of(name: str) -> str | None:
    """The slot that a parameter belongs to, from its canonical name; None for embedding and head."""
    match name.split("."):
        case ["decoder", "blocks", _, "residual", "norms", *_] | ["decoder", "final_norm", *_]:
            return "norm"
        case ["decoder", "blocks", _, slot, *_]:
            return slot
        case ["decoder", "position", *_]:
            return "position"
    return None


def _build_norm(config: ModelConfig) -> nn.Module:
    card, options = config.part("norm")
    return card.build(d_model=config.d_model, **options)
