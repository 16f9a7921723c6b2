"""A folder that appears whole or not at all, whoever else is building and however a build ends.

Work happens in a folder of its own beside the final place, held by a lock that dies with its process; a rename
makes it public. What is in the folder belongs elsewhere.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from paribus.text.data.failures import writing

_PREFIX = ".building-"
_LOCK = "lock"
_TAKEN = frozenset({errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR})


@contextmanager
def building_folder(parent: Path) -> Iterator[Path]:
    """A fresh folder inside `parent`, gone on leaving; first sweeps up those of builds that were killed.

    Raises `RequestError` or `WorkError` if `parent` cannot be written.
    """
    with writing(parent):
        parent.mkdir(parents=True, exist_ok=True)
        _sweep(parent)
        folder, lock = _claim(parent)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def publish(result: Path, target: Path, *, is_good: Callable[[Path], bool]) -> None:
    """Rename `result` to `target`, unless a good one is there already; a broken one there is replaced."""
    with open(target.parent / ".publish-lock", "w") as turn:
        _wait_for(turn.fileno())
        try:
            os.replace(result, target)
        except OSError as error:
            if error.errno not in _TAKEN:
                raise
            if not is_good(target):
                os.replace(target, result.parent / "broken")
                os.replace(result, target)


def _claim(parent: Path) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        try:
            lock = os.open(folder / _LOCK, os.O_WRONLY | os.O_CREAT)
        except FileNotFoundError:  # another process swept it up between two of our lines
            continue
        _wait_for(lock)
        if (folder / _LOCK).exists():
            return folder, lock
        os.close(lock)


def _wait_for(lock: int) -> None:
    # Some network file systems have no locks: then nothing is swept up there, and all else still holds.
    with suppress(OSError):
        fcntl.flock(lock, fcntl.LOCK_EX)


def _sweep(parent: Path) -> None:
    for folder in parent.glob(_PREFIX + "*"):
        with suppress(OSError), open(folder / _LOCK, "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # refused while its builder lives
            shutil.rmtree(folder, ignore_errors=True)
