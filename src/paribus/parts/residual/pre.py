"""Pre-norm: the residual stream is never normalised, each sublayer reads a normalised copy."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor

from paribus.parts.init import Role
from paribus.parts.residual.base import Residual, Sublayer
from paribus.registry import part


@part(
    "residual",
    "pre",
    formula=r"x + f(\operatorname{norm}(x))",
    paper="arXiv:2002.04745 (Xiong et al. 2020); GPT-2 (Radford et al. 2019)",
    shapes="x [B, T, d_model] -> [B, T, d_model]",
    traps=(
        "the stack needs a norm after its last block, before the head",
        "LLaMA's 'post_attention_layernorm' is this pre-norm of the feed-forward layer",
    ),
)
class PreNorm(Residual):
    """x + f(norm(x)) for each sublayer f, and a norm after the last block.

    Output matrices start smaller by 1/sqrt(number of sublayers in the stack), so that the stream keeps its
    scale over depth. Sources: Xiong et al. 2020 (arXiv:2002.04745); the scaling is GPT-2's.
    """

    final_norm = True

    def forward(self, x: Tensor, sublayers: Mapping[str, Sublayer]) -> Tensor:
        for name, sublayer in sublayers.items():
            x = x + sublayer(self.norms[name](x))
        return x

    def gain(self, role: Role) -> float:
        return 1 / math.sqrt(self.num_sublayers) if role.kind == "output" else 1.0
