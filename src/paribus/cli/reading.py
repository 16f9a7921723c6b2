"""What a user types, as values: lists by comma, KEY=VALUE pairs, durations and sizes. One sentence if it is not."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from typing import Any

from paribus.errors import RequestError

_SECONDS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_SIZES = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9}


def numbers(text: str | None, *, option: str) -> list[float] | None:
    """`1e-3,2e-3` as numbers."""
    if text is None:
        return None
    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        raise RequestError(f"{option} takes numbers by comma, as in 1e-3,2e-3,4e-3; it is {text!r}") from None


def values(text: str | None, *, option: str) -> list[Any] | None:
    """`relu,swiglu` or `{name: gated, gate: relu},swiglu` as a list; what YAML reads as a number is one."""
    if text is None:
        return None
    import yaml

    from paribus.study.settings import load_yaml

    try:
        found = load_yaml(f"[{text}]")
    except yaml.YAMLError:
        raise RequestError(f"{option} takes values by comma, as in relu,swiglu; it is {text!r}") from None
    if not isinstance(found, list) or any(value is None for value in found) or not found:
        raise RequestError(f"{option} takes values by comma, as in relu,swiglu; it is {text!r}")
    return found


def grid(texts: Sequence[str] | None) -> dict[str, list[Any]] | None:
    """`--vary norm=rmsnorm,layernorm --vary ffn=relu,swiglu` as keys with their values."""
    if not texts:
        return None
    found: dict[str, list[Any]] = {}
    for text in texts:
        key, equals, rest = text.partition("=")
        if not equals or not key or not rest:
            raise RequestError(f"--vary is KEY=VALUE,VALUE, as in norm=rmsnorm,layernorm; it is {text!r}")
        if key in found:
            raise RequestError(f"--vary names {key!r} twice; give all its values at once, by comma")
        found[key] = values(rest, option=f"--vary {key}") or []
    return found


def seconds(text: str | None, *, option: str) -> float | None:
    """`90m`, `8h`, `1.5h`, `600s` as seconds."""
    if text is None:
        return None
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*", text.lower())
    if not found or found[2] not in _SECONDS or float(found[1]) == 0:
        raise RequestError(f"{option} is a time such as 90m, 8h or 2d; it is {text!r}")
    return float(found[1]) * _SECONDS[found[2]]


def sizes(text: str | None, *, option: str) -> list[tuple[str, int]] | None:
    """`0.25M,1M` as labels with numbers of parameters, which must rise."""
    if text is None:
        return None
    read = [(word.strip(), _size(word)) for word in text.split(",")]
    found = [(word, number) for word, number in read if number is not None]
    if len(found) < len(read):
        raise RequestError(f"{option} takes sizes by comma, as in 0.25M,0.5M,1M; it is {text!r}")
    if len(found) < 2 or any(low >= high for (_, low), (_, high) in itertools.pairwise(found)):
        raise RequestError(f"{option} takes at least two sizes, rising; it is {text!r}")
    return found


def size(text: str | None, *, option: str) -> int | None:
    """`30M` or `5e6` as a number, at least 1."""
    if text is None:
        return None
    if not (found := _size(text)):
        raise RequestError(f"{option} takes a size such as 30M or 5e6; it is {text!r}")
    return found


def _size(word: str) -> int | None:
    read = re.fullmatch(r"\s*(\d+(?:\.\d+)?(?:e\d+)?)\s*([kmb]?)\s*", word.lower())
    found = float(read[1]) * _SIZES[read[2]] if read else math.inf
    return int(found) if math.isfinite(found) else None


def pairs(texts: Sequence[str] | None, *, option: str) -> dict[str, Any]:
    """`partition=gpu` as keys with values."""
    found = {}
    for text in texts or []:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise RequestError(f"{option} is KEY=VALUE, as in partition=gpu; it is {text!r}")
        found[key] = _value(value)
    return found


def _value(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
