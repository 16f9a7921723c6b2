"""The contract of a residual placement: where norms and scales stand around the sublayers of a block.

A placement owns the block's norms and scales and nothing else; it is handed the sublayers as functions, so
their names never depend on it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from paribus.parts.init import Role, Roles

Sublayer = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Depth:
    """Where a block stands: in which stack, and how many layers each stack of the model has (0: none)."""

    stack: Literal["encoder", "decoder"]
    encoder_layers: int
    decoder_layers: int

    @property
    def num_layers(self) -> int:
        """Layers of the block's own stack."""
        return self.encoder_layers if self.stack == "encoder" else self.decoder_layers


class Residual(nn.Module):
    """Base of the placements: one norm for each sublayer, `forward(x, sublayers)` joins them.

    `sublayers` are the names of what the block runs, in order: ("attention", "ffn"), or with
    "cross_attention" between them in the decoder of an encoder-decoder. `norm` makes one norm.
    `embedding_norm` and `final_norm` say whether the stack has a norm after the embedding and after its last
    block, unless the config says otherwise.
    """

    embedding_norm: bool = False
    final_norm: bool = True

    def __init__(self, *, sublayers: tuple[str, ...], depth: Depth, norm: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.depth = depth
        self.num_sublayers = depth.num_layers * len(sublayers)
        self.norms = nn.ModuleDict({name: norm() for name in sublayers})

    @abstractmethod
    def forward(self, x: Tensor, sublayers: Mapping[str, Sublayer]) -> Tensor:
        """Run the sublayers in order on x [B, T, d_model]."""

    def gain(self, role: Role) -> float:
        """Factor on the initial draw of a parameter of that role inside the block."""
        return 1.0

    def roles(self) -> Roles:
        """Roles of the placement's own scales; norms say theirs themselves."""
        return {}
