"""LongRoPE: every frequency has a divisor of its own, found by search, one list for short texts and one for long."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Unpack

import torch
from torch import Tensor

from paribus.errors import RequestError
from paribus.parts.position.rope import SHAPES
from paribus.parts.position.rope_scaling import ScaledRotaryPosition, ScalingOptions
from paribus.registry import part


@part(
    "position",
    "rope_longrope",
    formula=r"\theta_i / \lambda_i, \quad q, k \text{ times } \sqrt{1 + \ln s / \ln L}",
    paper="arXiv:2402.13753 (Ding et al. 2024)",
    shapes=SHAPES,
    traps=(
        "the divisors are part of a checkpoint; without them (all 1) only the factor on queries and keys remains",
        "a text that grows past L changes its list: keys that a cache holds were rotated by the short one",
    ),
)
class LongRotaryPosition(ScaledRotaryPosition):
    """θ_i / λ_i, with λ from `short_factor` up to L tokens and from `long_factor` beyond.

    Rotated queries and keys are multiplied by `attention_factor`, by default sqrt(1 + ln s / ln L). The lists
    have one divisor for each pair and default to ones. Raises `RequestError` for lists of another length and
    divisors that are not above zero. Source: Ding et al. 2024 (arXiv:2402.13753), and its released code.
    """

    def __init__(
        self,
        *,
        short_factor: Sequence[float] | None = None,
        long_factor: Sequence[float] | None = None,
        attention_factor: float | None = None,
        **options: Unpack[ScalingOptions],
    ) -> None:
        super().__init__(**options)
        self.short_factor, self.long_factor = self._checked(short_factor), self._checked(long_factor)
        if self.short_factor != self.long_factor:
            self.holds_until = self.original_length
        if attention_factor is None:
            if self.factor > 1 and self.original_length < 2:
                raise RequestError("longrope's factor on queries and keys needs an original_length above 1")
            attention_factor = (
                math.sqrt(1 + math.log(self.factor) / math.log(self.original_length))
                if self.factor > 1
                else 1.0
            )
        self._factor = attention_factor

    def _checked(self, divisors: Sequence[float] | None) -> tuple[float, ...]:
        pairs = self.rotated // 2
        divisors = tuple(divisors) if divisors is not None else (1.0,) * pairs
        if len(divisors) != pairs or not all(math.isfinite(each) and each > 0 for each in divisors):
            raise RequestError(
                f"longrope takes one divisor above zero for each of the {pairs} pairs; given are {len(divisors)}: "
                f"{list(divisors)}"
            )
        return divisors

    def frequencies(self, *, length: int, device: torch.device) -> Tensor:
        divisors = self.long_factor if length > self.original_length else self.short_factor
        theta = super().frequencies(length=length, device=device)
        return theta / torch.tensor(divisors, device=device, dtype=torch.float32)

    def attention_factor(self, *, length: int) -> float:
        return self._factor
