"""Which parts are verified, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch

from paribus import registry
from paribus.errors import RequestError, nearest
from paribus.verify.bounds import LAYER
from paribus.verify.case import Setting
from paribus.verify.cases import model
from paribus.verify.checks import Check, check, has_oracle

MODEL = "model"
DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in LAYER.output}


def chosen(names: Sequence[str]) -> list[registry.Card]:
    """The parts that these slots, names and `file.py:Class` addresses stand for; everything for none.

    `model` stands for whole models. Raises `RequestError` for a name that is neither slot nor part.
    """
    slots = {
        **{slot: list(cards.values()) for slot, cards in registry.catalog().items()},
        MODEL: model.cards(),
    }
    found: list[registry.Card] = []
    for name in names or slots:
        if ".py:" in name:
            found += _of_file(name)
        elif name in slots:
            found += slots[name]
        else:
            found += _of_name(name, slots)
    return found


def _of_name(name: str, slots: Iterable[str]) -> list[registry.Card]:
    try:
        return registry.search(name)
    except RequestError:
        parts = [known for cards in registry.catalog().values() for known in cards]
        near = nearest(name, [*slots, *parts])
        raise RequestError(f"there is no slot or part called {name!r}; {near}") from None


def _of_file(address: str) -> list[registry.Card]:
    """The cards of a user's own class; one without a slot if it carries no @part."""
    plain = registry.get("own", address)  # refuses a file or a class that is not there
    try:
        return registry.search(address)
    except RequestError:
        return [plain]


def setting_of(device: str | None, dtype: str, *, compiled: bool) -> Setting:
    """The device and dtype by name; `RequestError` for those that this machine or torch does not have."""
    if dtype not in DTYPES:
        raise RequestError(f"there is no dtype {dtype!r} to verify; {nearest(dtype, [*DTYPES, 'all'])}")
    name = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        where = torch.device(name)
        torch.ones(1, device=where, dtype=DTYPES[dtype]).cpu()
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise RequestError(f"the device {name!r} cannot be used in {dtype}: {first}") from None
    return Setting(device=where, dtype=DTYPES[dtype], compiled=compiled)


def verify(
    cards: Sequence[registry.Card], setting: Setting, *, progress: Callable[[registry.Card], None]
) -> tuple[list[Check], list[registry.Card]]:
    """Every check of these parts, and the parts that have no oracle."""
    checks: list[Check] = []
    without: list[registry.Card] = []
    for card in cards:
        if has_oracle(card):
            checks += check(card, setting)
        else:
            without.append(card)
        progress(card)
    return checks, without
