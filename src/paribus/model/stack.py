"""A stack: blocks one after the other, the position encodings they share, and a norm at either end.

What layers share in a pass (where queries and keys stand, who may see whom, the form attention takes) is made here
once for all of them, with a cache or without. Embedding and head are the model's.

Shapes: B batch, T positions, S positions of the source, D d_model.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from paribus.errors import RequestError
from paribus.model.block import Aux, Block
from paribus.model.cache import Cache, Places
from paribus.model.config import ModelConfig, StackConfig
from paribus.ops.attention import Mask, choose_backend
from paribus.parts.context import Context
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
        made: dict[tuple[int, int | None], Context] = {}
        contexts = []
        for layer, block in enumerate(self.blocks):
            window = getattr(block.attention, "window", None)
            # None: all of them, as a length that `torch.export` leaves open is no key of a dict.
            keys = None if cache is None else cache.layer(layer, "attention", window=window).visible(new)
            kind = (layer % len(self.positions), keys)
            if kind not in made:
                seen = places if keys is None else places.last(keys)
                made[kind] = self._context(kind[0], seen, x_BTD, memory_BSD, memory_valid_BS)
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
