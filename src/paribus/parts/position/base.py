"""The contract of a position encoding: where it may act, each place doing nothing unless overridden.

One instance is shared by all layers of a stack that have it. `embed` acts on the token embeddings, `rotate`
on queries and keys, `bias` and `score` on the logits, `value` on what attention gives; `state` holds what is
computed once per forward pass. `acts_on` names the places a class uses: attention asks for no others.

A bias depends on the head and on how far key and query are apart, so a class says it once, as `bias_of` an
offset; from that come the number of every pair, `bias`, and `bias_at`, for kernels that hold no such number.

Shapes: B batch, T queries, S keys, D d_model, H heads, K head_dim. Positions are whole numbers [T], or [B, T]
where the rows of a batch differ; everything made from them then has that leading B too.
"""

from __future__ import annotations

from typing import ClassVar, Literal, NotRequired, TypedDict

import torch
from torch import Tensor, nn

from paribus.ops.attention import BiasAt
from paribus.ops.diagonals import spread_diagonals
from paribus.parts.init import Roles

State = dict[str, Tensor]
Place = Literal["embed", "rotate", "bias", "score", "value"]


class Sizes(TypedDict):
    """What every encoding is told by its model; a class with options of its own hands these on."""

    d_model: int
    head_dim: int
    num_heads: int
    max_seq_len: int
    causal: NotRequired[bool]


class Position(nn.Module):
    """Base of the encodings.

    `max_seq_len` is the length the model is made for: it bounds the positions a learned table covers, and is
    the length that scalings of RoPE extend, unless they are told another. `causal` says whether a query sees
    earlier keys only.
    """

    acts_on: ClassVar[frozenset[Place]] = frozenset()
    #: Length of a text beyond which keys that were cached before no longer hold; None if they always do.
    holds_until: int | None = None

    def __init__(
        self, *, d_model: int, head_dim: int, num_heads: int, max_seq_len: int, causal: bool = True
    ) -> None:
        super().__init__()
        self.d_model, self.head_dim, self.num_heads = d_model, head_dim, num_heads
        self.max_seq_len, self.causal = max_seq_len, causal

    def embed(self, x_BTD: Tensor, position_T: Tensor) -> Tensor:
        """Token embeddings with their absolute positions worked in."""
        return x_BTD

    def state(self, query_T: Tensor, key_S: Tensor, *, length: int) -> State:
        """Tensors that every layer of this forward pass shares.

        `query_T` and `key_S` are the positions of queries and keys (with a cache there are more keys), and
        `length` how many tokens there are so far, known without looking into a tensor.
        """
        return {"query": query_T, "key": key_S} if "bias" in self.acts_on else {}

    def rotate(self, q_BHTK: Tensor, k_BHTK: Tensor, state: State) -> tuple[Tensor, Tensor]:
        """Queries and keys, both at `query_T`, with their positions worked in; a cache keeps the keys so."""
        return q_BHTK, k_BHTK

    def bias_of(self, offset: Tensor, head: Tensor, state: State) -> Tensor:
        """What is added to the scaled logits of these heads at these offsets, key minus query position.

        Both are whole numbers, of shapes that broadcast to that of the result.
        """
        raise NotImplementedError

    def bias(self, state: State, *, consecutive: bool = False) -> Tensor | None:
        """`bias_of` every pair, [H, T, S] or [B, H, T, S]; None for a class that adds none.

        It stays in the state, so that it is made once in a pass. `consecutive` says that each key is one place
        after the one before it, and that the queries are the last of the keys: then `bias_of` every offset is
        enough, and its gradient is several times cheaper.
        """
        if "bias" not in self.acts_on:
            return None
        if "bias" not in state:
            query, key = state["query"], state["key"]
            head_H = torch.arange(self.num_heads, device=key.device)
            if consecutive:
                offset = torch.arange(1 - key.shape[-1], query.shape[-1], device=key.device)
                bias = self.bias_of(offset, head_H[:, None], state)
                state["bias"] = spread_diagonals(bias, columns=key.shape[-1])
            else:
                offset = (key[..., None, :] - query[..., :, None]).unsqueeze(-3)
                state["bias"] = self.bias_of(offset, head_H[:, None, None], state)
        return state["bias"]

    def bias_at(self, state: State) -> BiasAt:
        """The same as a function of (row, head, query, key), indices of any shapes that broadcast."""
        query, key = state["query"], state["key"]

        def at(row: Tensor, head: Tensor, query_index: Tensor, key_index: Tensor) -> Tensor:
            asked = query[query_index] if query.ndim == 1 else query[row, query_index]
            seen = key[key_index] if key.ndim == 1 else key[row, key_index]
            return self.bias_of(seen - asked, head, state)

        return at

    def score(self, q_BHTK: Tensor, state: State) -> Tensor:
        """[B, H, T, S], added to the products of queries and keys before they are scaled."""
        raise NotImplementedError

    def value(self, p_BHTS: Tensor, state: State) -> Tensor:
        """[B, H, T, K], added to the values that probabilities p have gathered."""
        raise NotImplementedError

    def roles(self) -> Roles:
        return {}
