"""Learned absolute positions: a table of vectors, added to the token embeddings."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor, nn

from paribus.errors import RequestError
from paribus.ops.embedding import embedding
from paribus.parts.init import Role, Roles
from paribus.parts.position.base import Position, Sizes, State
from paribus.registry import part


@part(
    "position",
    "learned",
    formula=r"x_p + P_p",
    paper="arXiv:1705.03122 (Gehring et al. 2017); GPT-2 (Radford et al. 2019)",
    parameters="(max_seq_len + offset) d_model",
    shapes="x [B, T, d_model] -> [B, T, d_model]; weight [max_seq_len + offset, d_model]",
    traps=(
        "it has no vector past its table: a longer input is refused, never clipped or wrapped",
        "OPT, BART and RoBERTa begin at row 2 and keep two rows for padding: offset 2",
    ),
)
class LearnedPosition(Position):
    """Adds row p + offset of a learned table [max_seq_len + offset, d_model].

    The first `offset` rows are nobody's: some checkpoints have them for padding. Raises `RequestError` for inputs
    longer than max_seq_len, those that a cache holds included, and a negative offset.
    Source: Gehring et al. 2017 (arXiv:1705.03122).
    """

    acts_on = frozenset({"embed"})

    def __init__(self, *, offset: int = 0, **sizes: Unpack[Sizes]) -> None:
        super().__init__(**sizes)
        if not isinstance(offset, int) or isinstance(offset, bool) or offset < 0:
            raise RequestError(f"learned positions' offset is a number of rows, 0 or more; it is {offset!r}")
        self.offset = offset
        self.weight = nn.Parameter(torch.empty(self.max_seq_len + offset, self.d_model).normal_(std=0.02))

    def state(self, query_T: Tensor, key_S: Tensor, *, length: int) -> State:
        self._refuse_beyond(length)
        return {}

    def embed(self, x_BTD: Tensor, position_T: Tensor) -> Tensor:
        self._refuse_beyond(position_T.shape[-1])
        row_T = position_T + self.offset if self.offset else position_T
        return x_BTD + embedding(self.weight, row_T).to(x_BTD.dtype)

    def _refuse_beyond(self, length: int) -> None:
        # Positions of a sequence are consecutive, so their number tells whether they fit the table.
        if length > self.max_seq_len:
            raise RequestError(
                f"learned positions cover {self.max_seq_len} tokens and the input has {length}"
            )

    def roles(self) -> Roles:
        return {"weight": Role(kind="embedding", fan_in=len(self.weight), fan_out=self.d_model)}
