"""One attention layer with one position encoding around it, by the program and by the oracle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from paribus import oracles
from paribus.ops.attention import Backend, Mask
from paribus.oracles import Array, Weights
from paribus.parts.context import Context

B, T, S, D, H, K = 2, 6, 5, 6, 4, 4


class Attending(nn.Module):
    """x [B, T, D] -> attention's output, positions encoded wherever they are."""

    def __init__(self, *, position: nn.Module, attention: nn.Module) -> None:
        super().__init__()
        self.position: Any = position
        self.attention: Any = attention

    def form(
        self,
        backend: Backend,
        *,
        valid: Tensor | None = None,
        document: Tensor | None = None,
        memory: Tensor | None = None,
        memory_valid: Tensor | None = None,
    ) -> Callable[[Tensor], Tensor]:
        """The layer as a function of x."""

        def run(x: Tensor) -> Tensor:
            places = torch.arange(x.shape[1], device=x.device)
            context = Context(
                position=self.position,
                state=self.position.state(places, places, length=x.shape[1]),
                mask=Mask(causal=self.position.causal, key_valid_BS=valid, document_BS=document),
                backend=backend,
                memory_BSD=memory,
                memory_valid_BS=memory_valid,
            )
            return self.attention(self.position.embed(x, places), context)

        return run


def oracle(position: str, **options: Any) -> Callable[[Weights, Array], Array]:
    """The same by the papers' formulas; options are those of `oracles.mha`."""
    encoding = oracles.POSITION[position]

    def of(w: Weights, x: Array) -> Array:
        of_position = oracles.under(w, "position.")
        if encoding.embed is not None:
            x = encoding.embed(of_position, x, np.arange(x.shape[1], dtype=float))
        return oracles.mha(
            oracles.under(w, "attention."),
            x,
            num_heads=H,
            position=encoding,
            position_weights=of_position,
            **options,
        )

    return of
