"""Post-norm: the placement of the original Transformer, a norm after each addition."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from paribus.parts.residual.base import Residual, Sublayer
from paribus.registry import part


@part(
    "residual",
    "post",
    formula=r"\operatorname{norm}(x + f(x))",
    paper="arXiv:1706.03762 (Vaswani et al. 2017)",
    shapes="x [B, T, d_model] -> [B, T, d_model]",
    traps=(
        "its last blocks have large gradients at the start, so deep stacks need warm-up",
        "OLMo 2's x + norm(f(x)) also has its norm after the sublayer, and is another placement",
    ),
)
class PostNorm(Residual):
    """norm(x + f(x)) for each sublayer f; the stack's output is normalised already.

    Each sum is normalised at once, so the stream cannot grow and no draw is shrunk.
    Source: Vaswani et al. 2017 (arXiv:1706.03762), section 3.1.
    """

    final_norm = False

    def forward(self, x: Tensor, sublayers: Mapping[str, Sublayer]) -> Tensor:
        for name, sublayer in sublayers.items():
            x = self.norms[name](x + sublayer(x))
        return x
