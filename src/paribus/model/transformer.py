"""The Transformer: embedding, one or two stacks of blocks made of parts, head.

    decoder          ids -> embedding -> [attention, ffn] * n, causal                        -> head -> logits
    encoder          ids -> embedding -> [attention, ffn] * n, every token sees every other  -> head -> logits
    encoder_decoder  source -> embedding -> encoder -> memory
                     ids -> embedding -> [attention, cross-attention, ffn] * m, causal       -> head -> logits

A block owns its attention, feed-forward layer and residual placement, so qualified names such as
`decoder.blocks.0.ffn.gate.weight` never depend on which parts were chosen for the other slots.

Shapes: B batch, T positions, S positions of the source, D d_model, V vocab_size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn

from paribus.errors import RequestError
from paribus.model.block import Aux, Block
from paribus.model.cache import Cache
from paribus.model.config import ModelConfig
from paribus.model.head import Head
from paribus.model.stack import Stack
from paribus.ops.embedding import Embedding
from paribus.parts.init import Role, Roles
from paribus.parts.position.base import Position


class Transformer(nn.Module):
    """A language model: ids [B, T] give logits [B, T, V].

    Parameters stay in the dtype they were made in (float32 for training); the pass runs in `dtype`. An
    encoder-decoder has one embedding for source and target. Build a model with
    `paribus.model.initialise.build`, which draws every parameter by its name.
    """

    #: Where the weights came from, if they were loaded; `paribus.families` sets it.
    origin: object = None

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = Embedding(config.vocab_size, config.d_model)
        if config.segments:
            self.segment_embedding = Embedding(config.segments, config.d_model)
        for name, stack in config.stacks().items():
            self.add_module(name, Stack(config, stack))
        self.head = Head(
            d_model=config.d_model,
            vocab_size=config.vocab_size,
            tied=config.tie_embeddings,
            bias=config.head_bias,
            transform=config.build_head_transform(),
        )

    def forward(
        self,
        ids_BT: Tensor,
        *,
        dtype: torch.dtype = torch.float32,
        source_BS: Tensor | None = None,
        source_valid_BS: Tensor | None = None,
        position_T: Tensor | None = None,
        valid_BT: Tensor | None = None,
        document_BT: Tensor | None = None,
        segment_BT: Tensor | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        """Logits [B, T, V] in `dtype`.

        `source_BS` is what an encoder-decoder's encoder reads (needed again only with a fresh cache). Positions
        count from 0, or on from the cache's last, unless `position_T` gives them, [T] or [B, T]. `valid_BT` and
        `source_valid_BS` are false for padding, `document_BT` numbers the documents of packed rows: tokens see
        their own only. `segment_BT` numbers the segments of a model that has them (default: all are the first). With
        a `cache` the ids are the new tokens alone. Raises `RequestError` for a source where none is read, or none
        where one is, and for segments of a model without.
        """
        x_BTD, _ = self.stream(
            ids_BT,
            dtype=dtype,
            source_BS=source_BS,
            source_valid_BS=source_valid_BS,
            position_T=position_T,
            valid_BT=valid_BT,
            document_BT=document_BT,
            segment_BT=segment_BT,
            cache=cache,
        )
        return self.logits(x_BTD)

    def stream(
        self,
        ids_BT: Tensor,
        *,
        dtype: torch.dtype = torch.float32,
        source_BS: Tensor | None = None,
        source_valid_BS: Tensor | None = None,
        position_T: Tensor | None = None,
        valid_BT: Tensor | None = None,
        document_BT: Tensor | None = None,
        segment_BT: Tensor | None = None,
        cache: Cache | None = None,
    ) -> tuple[Tensor, Aux]:
        """What the head's matrix reads, [B, T, D], and what the layers gave beside, summed over layers by name.

        Takes what `forward` takes.
        """
        memory: Tensor | None = None
        aux: Aux = {}
        if self.config.architecture == "encoder_decoder":
            memory, source_valid_BS, aux = self._read_source(source_BS, source_valid_BS, dtype, cache)
        elif source_BS is not None:
            raise RequestError(f"a {self.config.architecture} reads no source; only an encoder_decoder does")
        name = "encoder" if self.config.architecture == "encoder" else "decoder"
        if cache is not None and name == "encoder":
            raise RequestError("an encoder sees later tokens too, so it has nothing that a cache could keep")
        stack: Stack = getattr(self, name)
        x_BTD, more = stack(
            self._embed(ids_BT, dtype, segment_BT),
            position_T=position_T,
            valid_BT=valid_BT,
            document_BT=document_BT,
            memory_BSD=memory,
            memory_valid_BS=source_valid_BS,
            cache=cache,
        )
        for key, tensor in more.items():
            aux[key] = aux[key] + tensor if key in aux else tensor
        return self.head.transform(x_BTD), aux

    def _read_source(
        self, source_BS: Tensor | None, valid_BS: Tensor | None, dtype: torch.dtype, cache: Cache | None
    ) -> tuple[Tensor, Tensor | None, Aux]:
        """The encoder's output, its padding, and what its layers gave beside."""
        if cache is not None and cache.memory is not None:
            return cache.memory, cache.memory_valid, {}
        if source_BS is None:
            raise RequestError("an encoder_decoder needs a source for its encoder to read")
        memory, aux = cast(Stack, self.encoder)(self._embed(source_BS, dtype), valid_BT=valid_BS)
        if cache is not None:
            cache.memory, cache.memory_valid = memory, valid_BS
        return memory, valid_BS, aux

    def _embed(self, ids_BT: Tensor, dtype: torch.dtype, segment_BT: Tensor | None = None) -> Tensor:
        x_BTD = self.embedding(ids_BT).to(dtype)
        x_BTD = x_BTD if self.config.embedding_scale == 1 else x_BTD * self.config.embedding_scale
        if self.config.segments:
            segment_BT = torch.zeros_like(ids_BT) if segment_BT is None else segment_BT
            return x_BTD + self.segment_embedding(segment_BT).to(dtype)
        if segment_BT is not None:
            raise RequestError(
                "the model has no segments to tell apart; ModelConfig's segments says how many"
            )
        return x_BTD

    def logits(self, x_BTD: Tensor) -> Tensor:
        """What the head's matrix makes of the end of `stream`, [B, T, V] in its dtype."""
        logits = self.head(x_BTD, self.embedding.weight)
        if self.config.logit_scale != 1:
            logits = logits * self.config.logit_scale
        if (cap := self.config.logit_softcap) is not None:
            logits = cap * torch.tanh(logits / cap)
        return logits

    @property
    def head_weight(self) -> Tensor:
        """[V, D]: the head's own matrix, or the embedding's where they are tied."""
        return self.embedding.weight if self.head.weight is None else self.head.weight

    def positions(self) -> Iterator[Position]:
        """Every position encoding, the encoder's first."""
        for name in self.config.stacks():
            yield from cast(Stack, getattr(self, name)).positions

    def blocks(self) -> Iterator[Block]:
        """Every block, the encoder's first."""
        for name in self.config.stacks():
            yield from cast(Iterator[Block], iter(getattr(self, name).blocks))

    def roles(self) -> Roles:
        embedding = Role(kind="embedding", fan_in=self.config.vocab_size, fan_out=self.config.d_model)
        if self.head.weight is None:
            # A tied table must start as a head: at the scale of an embedding the first logits would be huge.
            embedding = Role(kind="head", fan_in=self.config.d_model, fan_out=self.config.vocab_size)
        roles = {"embedding.weight": embedding}
        if self.config.segments:
            segment = Role(kind="embedding", fan_in=self.config.segments, fan_out=self.config.d_model)
            roles["segment_embedding.weight"] = segment
        return roles


def slot_of(name: str) -> str | None:
    """The slot that a parameter belongs to, from its canonical name; None for embedding and head."""
    match name.split("."):
        case [_, "blocks", _, "residual", "norms" | "output_norms", *_]:
            return "norm"
        case [_, "embedding_norm" | "final_norm", *_]:
            return "norm"
        case ["head", "transform", "norm", *_]:
            return "norm"
        case [_, "blocks", _, "cross_attention", *_]:
            return "attention"
        case [_, "blocks", _, slot, *_]:
            return slot
        case [_, "position", *_]:
            return "position"
    return None
