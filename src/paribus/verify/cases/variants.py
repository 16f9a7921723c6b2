"""With which options a part is tried: one set after another, of those that its constructor takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from paribus.registry import Card

Options = Mapping[str, Any]


def variants(card: Card, tried: Iterable[Options]) -> Iterator[Options]:
    """None at all, and then every set of `tried` that the part has all options of."""
    yield {}
    for options in tried:
        if options.keys() <= card.allowed_options():
            yield options


def label(options: Options) -> str:
    """The options in words; empty for none."""
    return ", ".join(f"{name} {_short(value)}" for name, value in options.items())


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"({label(value)})"
    return "[...]" if isinstance(value, (list, tuple)) else str(value)
