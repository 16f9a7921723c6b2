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
from paribus.model.cache import Cache, Places
from paribus.model.config import ModelConfig, StackConfig
from paribus.model.head import Head
from paribus.ops.attention import Mask, choose_backend
from paribus.parts.context import Context
from paribus.parts.init import Role, Roles
from paribus.parts.position.base import Position


class Stack(nn.Module):
    """Blocks with the position encoding they share, and the norms at both ends that the config asks for.

    With a pattern of encodings there is one of each kind, and `position` is their list.
    """

    def __init__(self, config: ModelConfig, stack: StackConfig) -> None:
        super().__init__()
        self.causal = stack.causal
        patterned = len(config.specs("position")) > 1
        positions = [
            config.build_position(layer, causal=stack.causal)
            for layer in range(len(config.specs("position")))
        ]
        self.position = nn.ModuleList(positions) if patterned else positions[0]
        self.embedding_norm = config.build_norm() if stack.embedding_norm else nn.Identity()
        self.blocks = nn.ModuleList(Block(config, stack, layer) for layer in range(stack.depth.num_layers))
        self.final_norm = config.build_norm() if stack.final_norm else nn.Identity()

    @property
    def positions(self) -> list[Position]:
        """The pattern of encodings over the layers."""
        module = self.position
        return cast(list[Position], list(module) if isinstance(module, nn.ModuleList) else [module])

    def forward(
        self,
        x_BTD: Tensor,
        *,
        position_T: Tensor | None = None,
        valid_BT: Tensor | None = None,
        document_BT: Tensor | None = None,
        memory_BSD: Tensor | None = None,
        memory_valid_BS: Tensor | None = None,
        cache: Cache | None = None,
    ) -> tuple[Tensor, Aux]:
        """Run x through every block; `Transformer.forward` says what the arguments are."""
        new = x_BTD.shape[1]
        places = self._places(
            new, x_BTD.device, position_T=position_T, valid_BT=valid_BT, document_BT=document_BT, cache=cache
        )
        made: dict[tuple[int, int], Context] = {}
        contexts = []
        for layer, block in enumerate(self.blocks):
            window = getattr(block.attention, "window", None)
            keys = new if cache is None else cache.layer(layer, "attention", window=window).visible(new)
            kind = (layer % len(self.positions), keys)
            if kind not in made:
                made[kind] = self._context(kind[0], places.last(keys), x_BTD, memory_BSD, memory_valid_BS)
            contexts.append(made[kind])
        x_BTD = self.embedding_norm(self.positions[0].embed(x_BTD, places.query_T))
        aux: Aux = {}
        for block, context in zip(self.blocks, contexts, strict=True):
            x_BTD, more = block(x_BTD, context, cache)
            for name, tensor in more.items():
                aux[name] = aux[name] + tensor if name in aux else tensor
        return self.final_norm(x_BTD), aux

    def _places(
        self,
        new: int,
        device: torch.device,
        *,
        position_T: Tensor | None,
        valid_BT: Tensor | None,
        document_BT: Tensor | None,
        cache: Cache | None,
    ) -> Places:
        """Where so many new tokens stand, and what there is for them to see."""
        if cache is not None and cache.sinks:
            self._refuse_sinks(position_T, valid_BT, document_BT)
            query_T, key_S = cache.places(new, device=device)
            return Places(query_T=query_T, key_S=key_S, length=key_S.shape[-1], late=True)
        consecutive = position_T is None and (cache is None or cache.positions is None)
        if position_T is None:
            position_T = torch.arange(new, device=device)
            if cache is not None and cache.positions is not None:
                position_T = position_T + cache.positions[..., -1:] + 1
        key_S, valid, document = position_T, valid_BT, document_BT
        if cache is not None:
            key_S, valid, document = cache.remember(position_T, valid_BT, document_BT)
        return Places(
            query_T=position_T,
            key_S=key_S,
            length=key_S.shape[-1],
            valid_BS=valid,
            document_BS=document,
            consecutive=consecutive,
        )

    def _refuse_sinks(self, *given: Tensor | None) -> None:
        if any("embed" in position.acts_on for position in self.positions):
            raise RequestError(
                "attention sinks move kept tokens to new positions, and here positions stand in what was computed of "
                "them; a window without sinks reads them again"
            )
        if any(tensor is not None for tensor in given):
            raise RequestError(
                "with attention sinks positions are counted within the cache, and rows have one length and one "
                "document: no positions, padding or documents can be given"
            )

    def _context(
        self,
        which: int,
        places: Places,
        x_BTD: Tensor,
        memory_BSD: Tensor | None,
        memory_valid_BS: Tensor | None,
    ) -> Context:
        """What layers with this encoding share that see these keys."""
        position = self.positions[which]
        backend = choose_backend(
            seq_len=places.key_S.shape[-1],
            queries=x_BTD.shape[1],
            device_type=x_BTD.device.type,
            dtype=x_BTD.dtype,
            biased="bias" in position.acts_on,
        )
        state = position.state(places.query_T, places.key_S, length=places.length)
        if backend != "flex":
            # Here, not in the first layer: blocks compiled one by one then share it.
            position.bias(state, consecutive=places.consecutive)
        late = places.late and "rotate" in position.acts_on
        return Context(
            position=position,
            state=state,
            mask=Mask(causal=self.causal, key_valid_BS=places.valid_BS, document_BS=places.document_BS),
            backend=backend,
            key_state=position.state(places.key_S, places.key_S, length=places.length) if late else state,
            memory_BSD=memory_BSD,
            memory_valid_BS=memory_valid_BS,
        )


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
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        if config.segments:
            self.segment_embedding = nn.Embedding(config.segments, config.d_model)
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
