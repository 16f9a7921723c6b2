"""One JSON object from bytes that nobody vouches for: no key twice, no deep nesting, no text that cannot be shown.

What the keys mean is judged where the object is used.
"""

from __future__ import annotations

import json
from typing import Any

from paribus.errors import RequestError, shown

MAX_DEPTH = 64
_MAX_DIGITS = 100  # far above any real number: a longer one only costs time


def json_object(raw: bytes, where: str) -> dict[str, Any]:
    """The object that `raw` spells in UTF-8; `where` names the file in messages.

    NaN, Infinity and -Infinity are floats, for real configs hold them. Raises `RequestError` for anything
    that is not one JSON object, a key given twice at any level (Python's reader takes the last, other readers
    the first), more than 64 levels, numbers of more than 100 digits, and lone surrogates.
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RequestError(f"{where} is not UTF-8 text: byte {error.start:,} is wrong") from error
    if text.startswith("\ufeff"):
        raise RequestError(f"{where} begins with a byte order mark: save it as UTF-8 without one")
    if not text.strip():
        raise RequestError(f"{where} is empty: a JSON object is expected")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            seen: set[str] = set()
            twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            raise RequestError(f"{where} gives the key {shown(twice, at_most=80)!r} twice")
        return found

    def whole(digits: str) -> float:
        if len(digits) > _MAX_DIGITS:
            raise RequestError(f"{where} has a number of {len(digits):,} digits")
        return -0.0 if digits == "-0" else int(digits)

    try:
        value = json.loads(text, object_pairs_hook=unique, parse_int=whole)
    except json.JSONDecodeError as error:
        # Python places an open string at its beginning, everything else that is cut off at the end.
        if error.msg.startswith("Unterminated string") or error.pos >= len(text.rstrip()):
            raise RequestError(f"{where} breaks off in the middle: the JSON in it does not end") from error
        spot = f"line {error.lineno:,}, column {error.colno:,}"
        raise RequestError(f"{where} is not JSON: {_lower(error.msg)} at {spot}") from error
    except RecursionError as error:
        raise _too_deep(where) from error
    if not isinstance(value, dict):
        raise RequestError(f"{where} holds {_kind(value)} where a JSON object is expected")
    _check_nested(value, where)
    return value


def _check_nested(value: dict[str, Any], where: str) -> None:
    level: list[Any] = [value]
    depth = 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise _too_deep(where)
        below: list[Any] = []
        for node in level:
            for item in (*node, *node.values()) if isinstance(node, dict) else node:
                if isinstance(item, dict | list):
                    below.append(item)
                elif isinstance(item, str) and not _encodable(item):
                    raise RequestError(f"{where} holds half a surrogate pair in {shown(item, at_most=80)!r}")
        level = below


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _too_deep(where: str) -> RequestError:
    return RequestError(f"{where} is nested more than {MAX_DEPTH} levels deep")


def _kind(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return "a list" if isinstance(value, list) else "text" if isinstance(value, str) else "a number"


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]
