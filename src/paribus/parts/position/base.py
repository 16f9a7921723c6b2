"""The contract of a position encoding: where it may act, each place doing nothing unless overridden.

One instance is shared by all layers of a stack. `embed` acts on the token embeddings, `rotate` on queries
and keys; `state` holds what is computed once per forward pass.
"""

from __future__ import annotations

from torch import Tensor, nn

from paribus.parts.init import Roles

State = dict[str, Tensor]


class Position(nn.Module):
    """Base of the encodings. B batch, T positions, D d_model, H heads, K head_dim.

    `max_seq_len` bounds the positions a learned table covers; the others ignore it.
    """

    def __init__(self, *, d_model: int, head_dim: int, max_seq_len: int) -> None:
        super().__init__()
        self.d_model, self.head_dim, self.max_seq_len = d_model, head_dim, max_seq_len

    def embed(self, x_BTD: Tensor, position_T: Tensor) -> Tensor:
        """Token embeddings with their absolute positions worked in."""
        return x_BTD

    def state(self, position_T: Tensor) -> State:
        """Tensors that every layer of this forward pass shares."""
        return {}

    def rotate(self, q_BHTK: Tensor, k_BHTK: Tensor, state: State) -> tuple[Tensor, Tensor]:
        """Queries and keys with their positions worked in."""
        return q_BHTK, k_BHTK

    def roles(self) -> Roles:
        return {}
