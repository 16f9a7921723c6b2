"""What the layers of a stack share during one forward pass."""

from __future__ import annotations

from dataclasses import dataclass

from paribus.ops.attention import Backend, Mask
from paribus.parts.position.base import Position, State


@dataclass(frozen=True, kw_only=True)
class Context:
    """The stack's position encoding and its state, who may see whom, and the form attention takes."""

    position: Position
    state: State
    mask: Mask
    backend: Backend
