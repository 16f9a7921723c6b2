"""What a user is told when something cannot be done: one sentence, and the exit code it deserves.

`RequestError` means the request was wrong (exit code 2); `WorkError` means that the work failed (exit
code 1). Anything else that reaches the command line is a bug of ours and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ParibusError(Exception):
    """Base of every error written for the reader; `exit_code` is what the command line returns."""

    exit_code = 1


class RequestError(ParibusError, ValueError):
    """The request cannot be met as asked: a wrong name, an impossible size, an unusable path."""

    exit_code = 2


class WorkError(ParibusError, RuntimeError):
    """The request was fine and the work failed: a full disk, a worker that died."""


def shown(given: object, *, at_most: int | None = None) -> str:
    """`given` for a message, cut to `at_most` characters: names from files may hold what no terminal should print."""
    text = str(given).encode("utf-8", errors="replace").decode("utf-8")
    if at_most is not None and len(text) > at_most:
        text = text[: at_most - 1] + "…"
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def nearest(given: str, allowed: Iterable[str], *, in_order: bool = False) -> str:
    """End of an error sentence: the nearest allowed names if any is near, else all, by name or in their own order."""
    names = list(dict.fromkeys(allowed)) if in_order else sorted(set(allowed))
    in_lower = {name.lower(): name for name in names}
    near = difflib.get_close_matches(given.lower(), in_lower, n=3, cutoff=0.6)
    if near:
        return "did you mean " + " or ".join(in_lower[name] for name in near) + "?"
    return "known: " + ", ".join(names)
