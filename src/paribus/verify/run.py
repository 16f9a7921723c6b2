"""Which parts are verified, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from paribus import registry
from paribus.errors import RequestError, nearest
from paribus.model.transformer import Transformer
from paribus.verify.checks import check, has_oracle
from paribus.verify.comparison import OUTPUT_BOUNDS, Check, Setting

MODEL = "model"
DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in OUTPUT_BOUNDS}


def chosen(names: Sequence[str]) -> list[registry.Card]:
    """The parts that these slots, names and `file.py:Class` addresses stand for; everything for none.

    `model` stands for whole models. Raises `RequestError` for a name that is neither slot nor part.
    """
    slots = registry.catalog()
    if not names:
        return [card for cards in slots.values() for card in cards.values()] + _models()
    found: list[registry.Card] = []
    for name in names:
        if name == MODEL:
            found += _models()
        elif name in slots:
            found += slots[name].values()
        else:
            try:
                found += registry.search(name)
            except RequestError as error:
                if ".py:" in name:
                    raise
                near = nearest(name, [*slots, MODEL])
                raise RequestError(f"{error} (or a slot: {near})") from None
    return found


def setting_of(device: str | None, dtype: str, *, compiled: bool) -> Setting:
    """The device and dtype by name; `RequestError` for those that this machine or torch does not have."""
    if dtype not in DTYPES:
        raise RequestError(f"there is no dtype {dtype!r} to verify; {nearest(dtype, DTYPES)}")
    name = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        where = torch.device(name)
        torch.empty(1, device=where)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        last = str(error).strip().splitlines()[0]
        raise RequestError(f"the device {name!r} cannot be used: {last}") from None
    return Setting(device=where, dtype=DTYPES[dtype], compiled=compiled)


def verify(
    cards: Sequence[registry.Card], setting: Setting, *, progress: Callable[[registry.Card], None]
) -> tuple[list[Check], list[registry.Card]]:
    """Every check of these parts, and the parts that have no oracle."""
    checks: list[Check] = []
    without: list[registry.Card] = []
    for card in cards:
        if card.slot == MODEL or has_oracle(card):
            checks += check(card, setting)
        else:
            without.append(card)
        progress(card)
    return checks, without


def _models() -> list[registry.Card]:
    return [
        registry.Card(
            slot=MODEL, name=name, factory=Transformer, formula="", summary="a whole default model", paper=""
        )
        for name in ("decoder", "encoder", "encoder_decoder")
    ]
