"""ReZero: no norms; what a sublayer writes is multiplied by a number that starts at zero."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from paribus.parts.init import Roles, constant
from paribus.parts.residual.base import Depth, Residual, Sublayer
from paribus.registry import part


@part(
    "residual",
    "rezero",
    formula=r"x + a f(x), \quad a = 0 \text{ at the start}",
    paper="arXiv:2003.04887 (Bachlechner et al. 2020)",
    parameters="one a sublayer",
    shapes="x [B, T, d_model] -> [B, T, d_model]",
    traps=(
        "the norm slot is not used: there is none anywhere",
        "at the first step no gradient reaches the sublayers, only their numbers a",
        "the authors' code shares one a between the sublayers of a layer; here each sublayer has its own",
        "DeepNet's authors saw it diverge in half precision, even where it was shallow",
    ),
)
class ReZero(Residual):
    """x + a · f(x) for each sublayer f, with a learned number a that starts at zero; no norm anywhere.

    Nothing is written to the stream at the start, so no draw is shrunk.
    Source: Bachlechner et al. 2020 (arXiv:2003.04887), equation 1.
    """

    final_norm = False

    def __init__(self, *, sublayers: tuple[str, ...], depth: Depth, norm: Callable[[], nn.Module]) -> None:
        super().__init__(sublayers=(), depth=depth, norm=norm)
        self.num_sublayers = depth.num_layers * len(sublayers)
        self.scales = nn.ParameterDict({name: nn.Parameter(torch.zeros(1)) for name in sublayers})

    def forward(self, x: Tensor, sublayers: Mapping[str, Sublayer]) -> Tensor:
        for name, sublayer in sublayers.items():
            x = x + self.scales[name].to(x.dtype) * sublayer(x)
        return x

    def roles(self) -> Roles:
        return {f"scales.{name}": constant(1, 0.0) for name in self.scales}
