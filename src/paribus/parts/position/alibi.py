"""ALiBi: no encoding of positions, only a penalty on distance, steeper in some heads than in others."""

from __future__ import annotations

import math
from typing import Unpack

import torch
from torch import Tensor

from paribus.errors import RequestError
from paribus.parts.position.base import Position, Sizes, State
from paribus.registry import part


def alibi_slopes(num_heads: int) -> list[float]:
    """2^(-8h/n) for h = 1..n if n is a power of two.

    Else the slopes of the power of two below n, then every other one of twice that power. Source: Press et al.
    2022 (arXiv:2108.12409), released code for other head counts.
    """
    power = 2 ** int(math.log2(num_heads))
    slopes = [2 ** (-8 * head / power) for head in range(1, power + 1)]
    between = [2 ** (-4 * head / power) for head in range(1, 2 * power + 1, 2)]
    return slopes + between[: num_heads - power]


@part(
    "position",
    "alibi",
    formula=r"q_i \cdot k_j / \sqrt{K} - m_h \lvert i - j \rvert, \quad m_h = 2^{-8h/H}",
    paper="arXiv:2108.12409 (Press et al. 2022)",
    shapes="bias [H, T, S], added to the scaled logits",
    traps=(
        "there is no learned map to a low-dimensional feature, and nothing is multiplied: the penalty is added to the logits (the paper found multiplying worse)",
        "head counts that are not powers of two take every other slope of the next power",
        "the paper is about causal models; in a bidirectional one the penalty is symmetric here, so left and right look alike",
        "its gain at short training lengths is largely that every scored token has more context",
        "Falcon adds the penalty before the logits are divided by sqrt(K), so its slopes are smaller by that: scale 1/sqrt(head_dim)",
    ),
)
class ALiBi(Position):
    """Adds -m_h |i - j| to the logits of query i and key j in head h, m_h from `alibi_slopes`, in float32.

    All slopes are multiplied by `scale`. Raises `RequestError` unless that is above zero. Source: Press et al. 2022
    (arXiv:2108.12409), section 3.
    """

    acts_on = frozenset({"bias"})

    def __init__(self, *, scale: float = 1.0, **sizes: Unpack[Sizes]) -> None:
        super().__init__(**sizes)
        if not 0 < scale < math.inf:
            raise RequestError(f"alibi's scale is a factor on its slopes, above zero; it is {scale}")
        self.scale = scale

    def state(self, query_T: Tensor, key_S: Tensor, *, length: int) -> State:
        slopes = [slope * self.scale for slope in alibi_slopes(self.num_heads)]
        slope_H = torch.tensor(slopes, device=query_T.device, dtype=torch.float32)
        return {**super().state(query_T, key_S, length=length), "slope": slope_H}

    def bias_of(self, offset: Tensor, head: Tensor, state: State) -> Tensor:
        return -state["slope"][head] * offset.abs().float()
