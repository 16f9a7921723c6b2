"""Shaw's relative positions: a learned vector for each clipped distance, added to keys and to values.

Neither logits nor output ever hold a vector for each pair of tokens: a query meets the 2k + 1 vectors once, and
each logit picks its own; probabilities are summed by distance before they meet the vectors.
"""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor, nn

from paribus.errors import RequestError
from paribus.parts.init import Role, Roles
from paribus.parts.position.base import Position, Sizes, State
from paribus.registry import part


@part(
    "position",
    "shaw",
    formula=r"q_i \cdot (k_j + a^K_c) / \sqrt{K}, \quad \sum_j p_{ij} (v_j + a^V_c), \quad c = \operatorname{clip}(j - i, -k, k)",
    paper="arXiv:1803.02155 (Shaw et al. 2018)",
    parameters="2 (2 max_distance + 1) head_dim",
    shapes="key_table, value_table [2 max_distance + 1, head_dim], shared by all heads and layers",
    traps=(
        "the key vectors are scaled by 1/sqrt(K) with the keys",
        "distances beyond max_distance look alike, so a token's order among far ones is lost",
        "the authors' code has tables for each layer; here a stack has one pair",
        "it needs the plain attention backend",
    ),
)
class ShawPosition(Position):
    """Adds row clip(j - i, -k, k) + k of two tables to the key and the value that query i finds at key j.

    k is `max_distance`. Raises `RequestError` for one below 1. Source: Shaw et al. 2018 (arXiv:1803.02155),
    equations 3 to 5.
    """

    acts_on = frozenset({"score", "value"})

    def __init__(self, *, max_distance: int = 16, **sizes: Unpack[Sizes]) -> None:
        super().__init__(**sizes)
        if max_distance < 1:
            raise RequestError(f"shaw's max_distance is a number of tokens, at least 1; it is {max_distance}")
        self.max_distance = max_distance
        rows = 2 * max_distance + 1
        self.key_table = nn.Parameter(torch.empty(rows, self.head_dim).normal_(std=0.02))
        self.value_table = nn.Parameter(torch.empty(rows, self.head_dim).normal_(std=0.02))

    def state(self, query_T: Tensor, key_S: Tensor, *, length: int) -> State:
        offset_TS = key_S[..., None, :] - query_T[..., :, None]
        row_TS = offset_TS.clamp(-self.max_distance, self.max_distance) + self.max_distance
        return {"row": row_TS.unsqueeze(-3)}

    def score(self, q_BHTK: Tensor, state: State) -> Tensor:
        # In at least float32: compiled for a CPU, the gradient of what is gathered is added up in its own dtype.
        met_BHTC = _wide(q_BHTK @ self.key_table.to(q_BHTK.dtype).T)
        return met_BHTC.gather(-1, state["row"].expand(*q_BHTK.shape[:-1], -1)).to(q_BHTK.dtype)

    def value(self, p_BHTS: Tensor, state: State) -> Tensor:
        wide_BHTS = _wide(p_BHTS)
        summed_BHTC = wide_BHTS.new_zeros(*p_BHTS.shape[:-1], len(self.value_table))
        summed_BHTC = summed_BHTC.scatter_add(-1, state["row"].expand_as(p_BHTS), wide_BHTS)
        return summed_BHTC.to(p_BHTS.dtype) @ self.value_table.to(p_BHTS.dtype)

    def roles(self) -> Roles:
        # Drawn as what they are added to: a key, or a value, that reads a unit-variance stream of K channels.
        row = Role(kind="input", fan_in=self.head_dim, fan_out=2 * self.max_distance + 1)
        return {"key_table": row, "value_table": row}


def _wide(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
