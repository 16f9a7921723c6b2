"""The contract of a residual placement: where norms and scales stand around the sublayers of a block.

A placement owns the block's norms and nothing else; it is handed the sublayers as functions, so their names
never depend on it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping

from torch import Tensor, nn

from paribus.parts.init import Role

Sublayer = Callable[[Tensor], Tensor]


class Residual(nn.Module):
    """Base of the placements: one norm for each sublayer, `forward(x, sublayers)` joins them.

    `final_norm` says whether the stack needs a norm before the head. `num_layers` is the depth of the
    stack, for placements whose scales depend on it.
    """

    final_norm: bool

    def __init__(self, *, sublayers: tuple[str, ...], num_layers: int, norm: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.num_sublayers = num_layers * len(sublayers)
        self.norms = nn.ModuleDict({name: norm() for name in sublayers})

    @abstractmethod
    def forward(self, x: Tensor, sublayers: Mapping[str, Sublayer]) -> Tensor:
        """Run the sublayers in order on x [B, T, d_model]."""

    def gain(self, role: Role) -> float:
        """Factor on the initial draw of a parameter of that role inside the block."""
        return 1.0
