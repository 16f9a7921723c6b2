"""Another scaling of RoPE put on a trained model, for as long as it is asked to read past its length."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from torch import nn

from paribus import registry
from paribus.errors import RequestError, nearest
from paribus.parts.position.rope import RotaryPosition
from paribus.parts.position.rope_scaling import DynamicRotaryPosition, ScaledRotaryPosition
from paribus.train.program import Program


def check_scaling(name: str) -> None:
    """Refuse what is not a scaling of RoPE."""
    cards = registry.catalog()["position"]
    scalings = [
        known
        for known, card in cards.items()
        if isinstance(card.factory, type) and issubclass(card.factory, ScaledRotaryPosition)
    ]
    if name not in scalings:
        raise RequestError(f"there is no scaling of RoPE called {name!r}; {nearest(str(name), scalings)}")


def can_be_rescaled(program: Program) -> bool:
    """Whether some layer of the decoder has RoPE as it is trained, without a scaling."""
    return any(type(position) is RotaryPosition for position in _decoder(program).positions)


@contextlib.contextmanager
def rescaled(program: Program, scaling: str, *, context: int, trained: int) -> Iterator[None]:
    """In here every plain RoPE is `scaling` with factor context / trained and original length `trained`.

    A scaling that goes by the length of what it reads, as dynamic NTK does, finds context / trained by itself and has
    factor 1: over a whole context it is then NTK with that factor.
    Base, layout and the share of channels that turn stay those of the model.
    """
    decoder = _decoder(program)
    kept = decoder.position
    positions = [
        _scaled(position, scaling, context=context, trained=trained)
        if type(position) is RotaryPosition
        else position
        for position in decoder.positions
    ]
    try:
        decoder.position = nn.ModuleList(positions) if isinstance(kept, nn.ModuleList) else positions[0]
        yield
    finally:
        decoder.position = kept


def _scaled(position: RotaryPosition, scaling: str, *, context: int, trained: int) -> nn.Module:
    card = registry.get("position", scaling)
    by_itself = isinstance(card.factory, type) and issubclass(card.factory, DynamicRotaryPosition)
    return card.build(
        d_model=position.d_model,
        head_dim=position.head_dim,
        num_heads=position.num_heads,
        max_seq_len=position.max_seq_len,
        causal=position.causal,
        base=position.base,
        layout=position.layout,
        fraction=position.rotated / position.head_dim,
        turning=position.turning_pairs / (position.rotated // 2),
        factor=1.0 if by_itself else context / trained,
        original_length=trained,
    )


def _decoder(program: Program) -> Any:
    return program.model.decoder
