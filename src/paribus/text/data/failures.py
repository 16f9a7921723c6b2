"""Turns the operating system's errors into the one sentence that a reader needs.

Reading is the user's text, writing is what we make of it; what a file *says* wrongly is judged where it is read.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from paribus.errors import RequestError, WorkError, shown

# EFBIG is the quota of one process (`ulimit -f`), EDQUOT that of a user: for the reader all are a full disk.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_UNUSABLE = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST})

_ELSEWHERE = "give another folder (--out where it is given, PARIBUS_CACHE for the cache)"


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Raises `RequestError` if `path` is closed to us or gone, `WorkError` if reading it breaks off."""
    try:
        yield
    except PermissionError as error:
        raise RequestError(f"{shown(path)} cannot be read: permission denied") from error
    except FileNotFoundError as error:
        raise RequestError(
            f"{shown(path)} was there and is gone: keep the source in place while it is read"
        ) from error
    except OSError as error:
        raise WorkError(f"reading {shown(path)} failed: {error.strerror or error}") from error


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Raises `RequestError` if nothing can be written in `folder`, `WorkError` if the disk is full or fails."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in _FULL:
            raise WorkError(
                f"the disk is full: writing to {shown(folder)} failed ({reason}), free some space there or {_ELSEWHERE}"
            ) from error
        if error.errno in _UNUSABLE:
            raise RequestError(f"{shown(folder)} cannot be written ({reason}): {_ELSEWHERE}") from error
        raise WorkError(f"writing to {shown(folder)} failed: {reason}") from error
