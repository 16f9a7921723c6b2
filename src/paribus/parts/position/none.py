"""No position encoding (NoPE): order is known from the causal mask alone."""

from __future__ import annotations

from paribus.parts.position.base import Position
from paribus.registry import part


@part(
    "position",
    "none",
    aliases=("nope",),
    formula="x",
    paper="arXiv:2305.19466 (Kazemnejad et al. 2023)",
    traps=("without a causal mask the model cannot know the order of its input at all",),
)
class NoPosition(Position):
    """Nothing is added anywhere. Source: Kazemnejad et al. 2023 (arXiv:2305.19466)."""
