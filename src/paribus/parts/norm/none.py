"""No norm at all: what the others are compared with."""

from __future__ import annotations

from torch import Tensor, nn

from paribus.registry import part


@part(
    "norm",
    "none",
    formula="x",
    paper="arXiv:2003.04887 (Bachlechner et al. 2020) trains without norms",
    parameters="0",
    shapes="x [..., d_model] -> the same",
    traps=("deep pre-norm stacks without their norms grow without bound; rezero is made to do without",),
)
class NoNorm(nn.Module):
    """x, unchanged."""

    def __init__(self, *, d_model: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x
