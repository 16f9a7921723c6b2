"""Rotary positions (RoPE): queries and keys are rotated by their position, so that logits see only distances.

Pair i of a head turns by p · base^(-2i/K) at position p. This file has the half-split layout, which pairs
channel i with i + K/2, as GPT-NeoX and the LLaMA checkpoints of Hugging Face do.
"""

from __future__ import annotations

import torch
from torch import Tensor

from paribus.errors import RequestError
from paribus.parts.position.base import Position, State
from paribus.registry import part


@part(
    "position",
    "rope",
    formula=r"(q_i, q_{i+K/2}) \mapsto R(p \, b^{-2i/K}) \, (q_i, q_{i+K/2})",
    paper="arXiv:2104.09864 (Su et al. 2021)",
    shapes="q, k [B, H, T, head_dim] -> the same",
    traps=(
        "half-split pairs are (i, i + K/2), interleaved ones (2i, 2i + 1); the wrong one for given weights is silent",
        "values are not rotated",
        "it makes logits relative, it does not make a model run past its trained length",
    ),
)
class RotaryPosition(Position):
    """Rotates channel pairs (i, i + K/2) of queries and keys by p · base^(-2i/K), in float32.

    Raises `RequestError` for an odd head_dim. Source: Su et al. 2021 (arXiv:2104.09864), equation 15.
    """

    acts_on = frozenset({"rotate"})

    def __init__(
        self,
        *,
        d_model: int,
        head_dim: int,
        num_heads: int,
        max_seq_len: int,
        causal: bool = True,
        base: float = 10000.0,
    ) -> None:
        super().__init__(
            d_model=d_model, head_dim=head_dim, num_heads=num_heads, max_seq_len=max_seq_len, causal=causal
        )
        if head_dim % 2:
            raise RequestError(f"rope turns channels in pairs, so head_dim must be even; {head_dim} is odd")
        self.base = base

    def state(self, query_T: Tensor, key_S: Tensor, *, length: int) -> State:
        channel = torch.arange(0, self.head_dim, 2, device=query_T.device, dtype=torch.float32)
        angle = query_T[..., None].float() * self.base ** (-channel / self.head_dim)
        return {"cos": angle.cos().unsqueeze(-3), "sin": angle.sin().unsqueeze(-3)}

    def rotate(self, q_BHTK: Tensor, k_BHTK: Tensor, state: State) -> tuple[Tensor, Tensor]:
        return _turn(q_BHTK, state), _turn(k_BHTK, state)


def _turn(x_BHTK: Tensor, state: State) -> Tensor:
    cos, sin = state["cos"], state["sin"]
    first, second = x_BHTK.chunk(2, dim=-1)
    turned = torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)
    return turned.to(x_BHTK.dtype)
