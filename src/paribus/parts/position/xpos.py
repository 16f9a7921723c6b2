"""xPos: rotary positions whose logits also fade with distance."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor

from paribus.errors import RequestError
from paribus.parts.position.base import State
from paribus.parts.position.rope import SHAPES, RotaryOptions, RotaryPosition
from paribus.registry import part


@part(
    "position",
    "xpos",
    formula=r"q \zeta_i^{p/512} R(p \theta_i), \; k \zeta_i^{-p/512} R(p \theta_i), \quad \zeta_i = \frac{2i/R + 0.4}{1.4}",
    paper="arXiv:2212.10554 (Sun et al. 2022)",
    shapes=SHAPES,
    traps=(
        "only causal: a later key would be magnified instead of fading",
        "queries and keys change by opposite powers; only their product is bounded",
    ),
)
class XPosition(RotaryPosition):
    """`rope`, and pair i of a query at p times ζ_i^(p/512), of a key times ζ_i^(-p/512).

    ζ_i = (2i/R + 0.4) / 1.4, so the product of a pair fades as ζ_i^(distance/512), fast pairs most. The powers are of
    positions, so keys leave the range of float16 from about position 4,400 on and that of float32 from about 36,000.
    Raises `RequestError` for a stack that is not causal. Source: Sun et al. 2022 (arXiv:2212.10554), section 2 and
    algorithm 1.
    """

    def __init__(self, *, scale_base: float = 512.0, **options: Unpack[RotaryOptions]) -> None:
        super().__init__(**options)
        if not self.causal:
            raise RequestError(
                "xpos makes logits fade with the distance to earlier keys and grow with that to later ones, so it "
                "is for causal stacks only"
            )
        if not scale_base > 0:
            raise RequestError(f"xpos's scale_base is a number of tokens above zero; it is {scale_base}")
        self.scale_base = scale_base

    def state(self, query_T: Tensor, key_S: Tensor, *, length: int) -> State:
        state = super().state(query_T, key_S, length=length)
        share = torch.arange(0, self.rotated, 2, device=query_T.device, dtype=torch.float32) / self.rotated
        power = (query_T[..., None].float() / self.scale_base).unsqueeze(-3)
        return {**state, "fade": ((share + 0.4) / 1.4) ** power}

    def rotate(self, q_BHTK: Tensor, k_BHTK: Tensor, state: State) -> tuple[Tensor, Tensor]:
        cos, sin, fade = state["cos"], state["sin"], state["fade"]
        q = self._turn(q_BHTK, {"cos": cos * fade, "sin": sin * fade})
        return q, self._turn(k_BHTK, {"cos": cos / fade, "sin": sin / fade})
