"""The placement of OLMo 2: what a sublayer writes is normalised, what it reads is not."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from paribus.parts.residual.base import Residual, Sublayer
from paribus.registry import part


@part(
    "residual",
    "post_sublayer",
    formula=r"x + \operatorname{norm}(f(x))",
    paper="arXiv:2501.00656 (OLMo 2, 2025); arXiv:2111.09883 (Liu et al. 2021, Swin v2)",
    shapes="x [B, T, d_model] -> [B, T, d_model]",
    traps=(
        "it is not the post-norm of the original Transformer: the stream itself is never normalised",
        "OLMo 2 norms queries and keys too (attention's qk_norm over the width)",
        "a norm that divides by no scale (dyt, none) does not hold what a sublayer writes, and no draw is shrunk for it",
    ),
)
class PostSublayerNorm(Residual):
    """x + norm(f(x)) for each sublayer f, and a norm after the last block.

    What a sublayer writes is normalised, so the scale of its output matrix does not matter and is not shrunk;
    OLMo 2 too starts every matrix at one deviation, whatever the depth.
    Source: OLMo 2 (arXiv:2501.00656), section 2.1.
    """

    def forward(self, x: Tensor, sublayers: Mapping[str, Sublayer]) -> Tensor:
        for name, sublayer in sublayers.items():
            x = x + self.norms[name](sublayer(x))
        return x
