"""What the layers of a stack share during one forward pass."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from paribus.ops.attention import Backend, Mask
from paribus.parts.position.base import Position, State


@dataclass(frozen=True, kw_only=True)
class Context:
    """A layer's position encoding and its state, who may see whom, and the form attention takes.

    `key_state` is the state at the positions of the keys, for caches that keep keys before rotation. `memory_BSD` is
    what cross-attention reads, the encoder's output, and `memory_valid_BS` is false for its padding.
    """

    position: Position
    state: State
    mask: Mask
    backend: Backend
    key_state: State | None = None
    memory_BSD: Tensor | None = None
    memory_valid_BS: Tensor | None = None
