"""Attention and feed-forward layer side by side, both reading the same stream."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from torch import Tensor, nn

from paribus.errors import RequestError
from paribus.parts.init import Role
from paribus.parts.residual.base import Depth, Residual, Sublayer
from paribus.registry import part

_SHAPES = "x [B, T, d_model] -> [B, T, d_model]"
_ORDER = "the feed-forward layer does not see what attention writes in the same block"


@part(
    "residual",
    "parallel",
    formula=r"x + f_\text{attention}(n) + f_\text{ffn}(n), \quad n = \operatorname{norm}(x)",
    paper="GPT-J (Wang & Komatsuzaki 2021); arXiv:2204.02311 (Chowdhery et al. 2022, PaLM)",
    summary="attention and feed-forward layer side by side behind one norm",
    shapes=_SHAPES,
    traps=(_ORDER, "GPT-NeoX has a norm for each: that is parallel_separate"),
    options={"shared_norm": True},
)
@part(
    "residual",
    "parallel_separate",
    formula=r"x + f_\text{attention}(\operatorname{norm}(x)) + f_\text{ffn}(\operatorname{norm}'(x))",
    paper="arXiv:2204.06745 (Black et al. 2022, GPT-NeoX)",
    summary="attention and feed-forward layer side by side, each behind its own norm",
    shapes=_SHAPES,
    traps=(_ORDER, "GPT-J has one norm for both: that is parallel"),
    options={"shared_norm": False},
)
class ParallelResidual(Residual):
    """x + the sum of f(norm(x)) over the sublayers, and a norm after the last block.

    With `shared_norm` one norm serves all sublayers, else each has its own. Output matrices start smaller by
    1/sqrt(number of sublayers in the stack), as in pre-norm: the stream sums just as many. Raises
    `RequestError` for a block with cross-attention, which no such model has.
    Sources: GPT-J; Black et al. 2022 (arXiv:2204.06745), section 2.1.
    """

    def __init__(
        self,
        *,
        sublayers: tuple[str, ...],
        depth: Depth,
        norm: Callable[[], nn.Module],
        shared_norm: bool = True,
    ) -> None:
        if "cross_attention" in sublayers:
            raise RequestError(
                "parallel placements join one attention and one feed-forward layer; a decoder that reads an "
                "encoder has cross-attention too, so take another residual there"
            )
        super().__init__(sublayers=("shared",) if shared_norm else sublayers, depth=depth, norm=norm)
        self.shared_norm = shared_norm
        self.num_sublayers = depth.num_layers * len(sublayers)

    def forward(self, x: Tensor, sublayers: Mapping[str, Sublayer]) -> Tensor:
        shared = self.norms["shared"](x) if self.shared_norm else None
        out = x
        for name, sublayer in sublayers.items():
            out = out + sublayer(self.norms[name](x) if shared is None else shared)
        return out

    def gain(self, role: Role) -> float:
        return 1 / math.sqrt(self.num_sublayers) if role.kind == "output" else 1.0
