"""Norms on both sides of a sublayer: sandwich and peri placements."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from paribus.parts.residual.base import Depth, Residual, Sublayer
from paribus.registry import part

_SHAPES = "x [B, T, d_model] -> [B, T, d_model]"
_UNHELD = "a norm that divides by no scale (dyt, none) does not hold what a sublayer writes, and no draw is shrunk for it"


@part(
    "residual",
    "sandwich",
    formula=r"x + \operatorname{norm}'(f(\operatorname{norm}(x)))",
    paper="arXiv:2105.13290 (Ding et al. 2021, CogView)",
    shapes=_SHAPES,
    traps=(
        "two norms a sublayer, each with its own gain",
        "Gemma 2 names its four norms after what they follow: post_attention_layernorm is the output norm here",
        _UNHELD,
    ),
)
class SandwichNorm(Residual):
    """x + norm'(f(norm(x))) for each sublayer f, and a norm after the last block.

    What a sublayer writes is normalised, so the scale of its output matrix does not matter and is not shrunk.
    Source: Ding et al. 2021 (arXiv:2105.13290), section 2.4.
    """

    def __init__(self, *, sublayers: tuple[str, ...], depth: Depth, norm: Callable[[], nn.Module]) -> None:
        super().__init__(sublayers=sublayers, depth=depth, norm=norm)
        self.output_norms = nn.ModuleDict({name: norm() for name in sublayers})

    def forward(self, x: Tensor, sublayers: Mapping[str, Sublayer]) -> Tensor:
        for name, sublayer in sublayers.items():
            x = x + self.output_norms[name](sublayer(self.norms[name](x)))
        return x


@part(
    "residual",
    "peri",
    formula=r"x + \operatorname{norm}'(f(\operatorname{norm}(x))), \quad x_0 = \operatorname{norm}(\text{embedding})",
    paper="arXiv:2502.02732 (Kim et al. 2025)",
    shapes=_SHAPES,
    traps=("beside the sandwich it normalises the embedding and the final output", _UNHELD),
)
class PeriNorm(SandwichNorm):
    """x + norm'(f(norm(x))) for each sublayer f, with norms after the embedding and after the last block.

    No draw is shrunk, for the reason that `sandwich` has.
    Source: Kim et al. 2025 (arXiv:2502.02732), section 3.
    """

    embedding_norm = True
