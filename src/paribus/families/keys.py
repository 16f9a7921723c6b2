"""The `config.json` of a checkpoint, read key by key: which keys were read is the evidence for what is said."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from paribus.errors import RequestError, shown

#: Stands for "there is no default": a key without one must be there.
REQUIRED = object()

#: Whole numbers from here on are no size of anything, and no float holds them.
_TOO_LARGE = 2**63

_KINDS: dict[type, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a string",
    list: "a list",
    dict: "an object",
}


@dataclass(frozen=True, kw_only=True)
class KeyRead:
    """A key that was asked for, what it gave, and whether it stood there or is the family's default."""

    key: str
    value: Any
    given: bool


class Keys:
    """A config by its keys. Those inside an object are named with dots: `attn_config.alibi`."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = config
        self.read: set[str] = set()
        self._seen: list[KeyRead] = []

    def get(self, key: str, default: Any = REQUIRED, kind: type | None = None) -> Any:
        """The value of a key; null counts as absent. Raises `RequestError` for another kind, or none at all."""
        self.read.add(key)
        value: Any = self.config
        for word in key.split("."):
            value = value.get(word) if isinstance(value, Mapping) else None
        given = value is not None
        if not given:
            if default is REQUIRED:
                raise RequestError(f"config.json has no {key}, and this family has no default for it")
            value = default
        elif kind is not None:
            value = _checked(key, value, kind)
        self._seen.append(KeyRead(key=key, value=value, given=given))
        return value

    def count(self, key: str, default: Any = REQUIRED) -> int:
        """The value of a key that counts something: a whole number of at least 1."""
        value: int = self.get(key, default, int)
        if value < 1:
            raise RequestError(f"config.json: {key} is at least 1; it is {value}")
        return value

    def is_null(self, key: str) -> bool:
        """Whether the key stands there with null."""
        self.read.add(key)
        *outer, last = key.split(".")
        holder: Any = self.config
        for word in outer:
            holder = holder.get(word) if isinstance(holder, Mapping) else None
        there = isinstance(holder, Mapping) and last in holder and holder[last] is None
        if there:
            self._seen.append(KeyRead(key=key, value=None, given=True))
        return there

    def known(self, *keys: str) -> None:
        """Say that these keys are understood, though nothing follows from them here."""
        self.read.update(keys)

    def __contains__(self, key: str) -> bool:
        return self.get(key, None) is not None

    @contextlib.contextmanager
    def seen(self) -> Iterator[list[KeyRead]]:
        """The keys that are read inside, once each."""
        outer, self._seen = self._seen, []
        found: list[KeyRead] = []
        try:
            yield found
        finally:
            found.extend({each.key: each for each in self._seen}.values())
            self._seen = outer + self._seen


def _checked(key: str, value: Any, kind: type) -> Any:
    """The value if it is of that kind; whole numbers do for numbers, and 4.0 for a whole number."""
    if isinstance(value, int) and abs(value) >= _TOO_LARGE:
        raise RequestError(f"config.json: {key} is too large a number, {_shown(value)}")
    fits = isinstance(value, kind) and not (kind is int and isinstance(value, bool))
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        fits = True
    if kind is float and fits and not math.isfinite(value):
        fits = False
    if kind is int and isinstance(value, float) and value.is_integer() and abs(value) < _TOO_LARGE:
        return int(value)
    if not fits:
        raise RequestError(f"config.json: {key} is {_KINDS[kind]}; it is {_shown(value)}")
    return value


def _shown(value: Any) -> str:
    return shown(repr(value), at_most=60)
