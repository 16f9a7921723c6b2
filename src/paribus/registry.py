"""The one mechanism by which a part gets a name and a card.

A part registers itself once, with the `part` decorator, and from then on appears wherever parts are
named: configs, `--arms`, `explain`, `catalog`, the docs and the parametrised tests. Packages offer parts
through the entry-point group `paribus.parts` (ours does too); a path `my_file.py:MyPart` works anywhere a
name does. Nothing here knows any slot or part by name.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from paribus.errors import RequestError, nearest

if TYPE_CHECKING:
    from torch import nn

T = TypeVar("T", bound=Callable[..., Any])

ENTRY_POINT_GROUP = "paribus.parts"


@dataclass(frozen=True, kw_only=True)
class Card:
    """What is known about one part.

    `formula` is LaTeX; `parameters` the count in words of the field (`3 d_model d_ff`), for reading only:
    every number comes from the built part. `traps` says what is commonly got wrong. `options` are the
    arguments that this name fixes (SwiGLU is the gated layer with a silu gate).
    """

    slot: str
    name: str
    factory: Callable[..., nn.Module]
    formula: str
    summary: str
    paper: str
    parameters: str = ""
    aliases: tuple[str, ...] = ()
    traps: tuple[str, ...] = ()
    shapes: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    def build(self, **arguments: Any) -> nn.Module:
        """Build the part; arguments that the name fixes cannot be given again."""
        fixed = self.options.keys() & arguments.keys()
        if fixed:
            raise RequestError(f"{self.slot} {self.name!r} fixes {', '.join(sorted(fixed))} already")
        given = {**self.options, **arguments}
        try:
            inspect.Signature(list(_parameters(self.factory).values())).bind(**given)
        except TypeError as error:
            raise RequestError(
                f"{self.slot} {self.name!r} cannot be built: its constructor has {error}"
            ) from None
        return self.factory(**given)

    def parameters_of_build(self) -> dict[str, inspect.Parameter]:
        """The arguments that the caller may give, with their defaults."""
        return {name: each for name, each in _parameters(self.factory).items() if name not in self.options}

    def allowed_options(self) -> frozenset[str]:
        """Names of the arguments that the caller may give."""
        return frozenset(self.parameters_of_build())

    def num_params(self, **arguments: Any) -> int:
        """Number of parameters of the part built with these arguments; allocates nothing."""
        import torch

        with torch.device("meta"):
            return sum(parameter.numel() for parameter in self.build(**arguments).parameters())

    def flops(self, *, d_model: int, **arguments: Any) -> int:
        """Forward FLOPs for one token in matrix products (a multiply and an add are two).

        Counted by running the part on meta tensors, so it holds for parts that map [..., d_model] to
        [..., d_model], as feed-forward layers and norms do.
        """
        import torch
        from torch.utils.flop_counter import FlopCounterMode

        with torch.device("meta"), FlopCounterMode(display=False) as counter:
            self.build(d_model=d_model, **arguments)(torch.empty(1, 1, d_model))
        return counter.get_total_flops()


def _parameters(factory: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Named arguments of a factory; those that a class hands on by `**` are its parents' too."""
    found: dict[str, inspect.Parameter] = {}
    for owner in inspect.getmro(factory) if inspect.isclass(factory) else (factory,):
        if owner is not factory and "__init__" not in vars(owner):
            continue
        hands_on = False
        for name, parameter in inspect.signature(owner).parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD:
                hands_on = True
            elif name not in found:
                found[name] = parameter.replace(kind=parameter.KEYWORD_ONLY)
        if not hands_on:
            break
    return found


class Registry:
    """Cards by slot and name. The module-level functions below use one shared instance."""

    def __init__(self) -> None:
        self._cards: dict[str, dict[str, Card]] = {}
        self._names: dict[str, dict[str, str]] = {}  # slot -> name or alias -> name

    def add(self, card: Card) -> None:
        """Register a card; a name that is taken by a different part is an error."""
        names = self._names.setdefault(card.slot, {})
        for name in (card.name, *card.aliases):
            if name in names:
                raise RequestError(f"{card.slot} {name!r} is registered twice; choose another name")
        self._cards.setdefault(card.slot, {})[card.name] = card
        names.update(dict.fromkeys((card.name, *card.aliases), card.name))

    def remove(self, module: str) -> None:
        """Forget every part that a module of this name registered."""
        for slot, cards in self._cards.items():
            gone = [name for name, card in cards.items() if card.factory.__module__ == module]
            for name in gone:
                del cards[name]
            names = self._names[slot]
            self._names[slot] = {alias: name for alias, name in names.items() if name not in gone}

    def find(self, slot: str, name: str) -> Card | None:
        """The card of this name or alias, or None."""
        canonical = self._names.get(slot, {}).get(name)
        return self._cards[slot][canonical] if canonical else None

    def slots(self) -> tuple[str, ...]:
        """Slots in the order in which they were first used."""
        return tuple(self._cards)

    def cards(self, slot: str) -> Mapping[str, Card]:
        """Cards of a slot by name, in registration order."""
        return MappingProxyType(self._cards.get(slot, {}))

    def names(self, slot: str) -> tuple[str, ...]:
        """Every name and alias of a slot."""
        return tuple(self._names.get(slot, {}))


_registry = Registry()


def part(slot: str, name: str, **card: Any) -> Callable[[T], T]:
    """Register the decorated class or function as part `name` of `slot`.

    Takes the fields of `Card`; `summary` defaults to the first line of the docstring. Decorate several
    times with different `options` to give one class several names.

    >>> @part("ffn", "mine", formula=r"W_2 \\tanh(W_1 x)", paper="this file")
    ... class Mine(nn.Module): ...
    """

    def register(factory: T) -> T:
        card.setdefault("summary", (inspect.getdoc(factory) or name).splitlines()[0])
        _registry.add(Card(slot=slot, name=name, factory=factory, **card))
        return factory

    return register


def get(slot: str, name: str) -> Card:
    """The card of a part by name, alias, or `path/to/file.py:ClassName`; raises `RequestError`."""
    _discover()
    if ".py:" in name:
        return _from_file(slot, name)
    card = _registry.find(slot, name)
    if card is None:
        if slot not in _registry.slots():
            raise RequestError(f"there is no slot {slot!r}; {nearest(slot, _registry.slots())}")
        raise RequestError(f"there is no {slot} called {name!r}; {nearest(name, _registry.names(slot))}")
    return card


def catalog() -> dict[str, Mapping[str, Card]]:
    """All cards by slot and name."""
    _discover()
    return {slot: _registry.cards(slot) for slot in _registry.slots()}


def registered(slot: str) -> Mapping[str, Card]:
    """Cards of a slot that are registered so far, for parts that are made from other parts."""
    return _registry.cards(slot)


def search(name: str) -> list[Card]:
    """Every part of that name or alias, over all slots; raises `RequestError` when there is none."""
    _discover()
    if ".py:" in name:
        if not (found := _registered(_factory_from_file(name))):
            raise RequestError(f"{name} carries no @part, so nothing more is known of it than its source")
        return found
    found = [card for slot in _registry.slots() if (card := _registry.find(slot, name))]
    if not found:
        known = [known for slot in _registry.slots() for known in _registry.names(slot)]
        raise RequestError(f"there is no part called {name!r}; {nearest(name, known)}")
    return found


@functools.cache
def _discover() -> None:
    for entry in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP):
        entry.load()


@functools.cache
def _factory_from_file(address: str) -> Callable[..., nn.Module]:
    """The class that `path/to/file.py:ClassName` names; the file is imported once."""
    path_text, _, name = address.rpartition(":")
    path = Path(path_text).expanduser().resolve()
    if not path.is_file():
        raise RequestError(f"{address!r} names a part in {path_text}, and there is no such file")
    module_name = "paribus_user_" + hashlib.sha256(str(path).encode()).hexdigest()[:16]
    module = sys.modules.get(module_name)
    if module is None:
        spec = importlib.util.spec_from_file_location(module_name, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            del sys.modules[module_name]
            _registry.remove(module_name)
            raise RequestError(f"{path_text} cannot be imported: {type(error).__name__}: {error}") from error
    factory = getattr(module, name, None)
    if factory is None:
        own = [key for key, value in vars(module).items() if getattr(value, "__module__", "") == module_name]
        raise RequestError(f"{path_text} has no {name!r}; {nearest(name, own)}")
    if not callable(factory):
        raise RequestError(f"{name!r} in {path_text} is not a part but {factory!r}")
    return factory


def _registered(factory: Callable[..., nn.Module]) -> list[Card]:
    cards = [card for slot in _registry.slots() for card in _registry.cards(slot).values()]
    return [card for card in cards if card.factory is factory]


def _from_file(slot: str, address: str) -> Card:
    """Card of a class in a user's own file: its own registration in this slot, else a plain card."""
    factory = _factory_from_file(address)
    for card in _registered(factory):
        if card.slot == slot:
            return card
    name = address.rpartition(":")[2]
    summary = (inspect.getdoc(factory) or name).splitlines()[0]
    return Card(slot=slot, name=name, factory=factory, formula="", paper=address, summary=summary)
