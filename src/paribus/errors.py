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


def nearest(given: str, allowed: Iterable[str], *, in_order: bool = False) -> str:
    """End of an error sentence: the nearest allowed names if any is near, else all, by name or in their own order."""
    names = list(dict.fromkeys(allowed)) if in_order else sorted(set(allowed))
    near = difflib.get_close_matches(given.lower(), names, n=3, cutoff=0.6)
    if near:
        return "did you mean " + " or ".join(near) + "?"
    return "known: " + ", ".join(names)
