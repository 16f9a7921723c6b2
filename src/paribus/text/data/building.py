"""A folder in which something is made, that appears whole or not at all, whoever else is building.

Work happens in a folder of its own beside the final place, held by a lock that dies with its process; a rename
makes the result public. A build that ended too early may leave its folder to the next one that makes the same.
What is in the folder belongs elsewhere.
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

PREFIX = ".building-"
_LOCK = "lock"
_TAKEN = frozenset({errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR})


@contextmanager
def building_folder(
    parent: Path, *, key: str, kept_after: tuple[type[BaseException], ...] = ()
) -> Iterator[Path]:
    """The folder inside `parent` in which the build `key` happens, gone on leaving.

    What a killed build of the same key has left is still there, and so it is after an exception of `kept_after`;
    what others have left is swept up first. While the same is being built, a second build gets a fresh folder.
    Raises `RequestError` or `WorkError` if `parent` cannot be written.
    """
    with writing(parent):
        parent.mkdir(parents=True, exist_ok=True)
        _sweep(parent, but=PREFIX + key)
        folder, lock = _claim(parent, PREFIX + key)
    keep = False
    try:
        yield folder
    except kept_after:
        keep = folder.name == PREFIX + key
        raise
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def publish(result: Path, target: Path, *, is_good: Callable[[Path], bool]) -> None:
    """Rename `result` to `target`, unless a good one is there already; a broken one there is replaced."""
    with in_turn(target.parent):
        try:
            os.replace(result, target)
        except OSError as error:
            if error.errno not in _TAKEN:
                raise
            if not is_good(target):
                os.replace(target, result.parent / "broken")
                os.replace(result, target)


@contextmanager
def in_turn(folder: Path) -> Iterator[None]:
    """Nobody else publishes in `folder` meanwhile."""
    turn = os.open(folder, os.O_RDONLY)
    try:
        # Some network file systems have no locks: then the last one wins, and brings the same.
        with suppress(OSError):
            fcntl.flock(turn, fcntl.LOCK_EX)
        yield
    finally:
        os.close(turn)


def _claim(parent: Path, name: str) -> tuple[Path, int]:
    folder = parent / name
    while True:
        folder.mkdir(exist_ok=True)
        try:
            lock = os.open(folder / _LOCK, os.O_WRONLY | os.O_CREAT)
        except FileNotFoundError:  # another process swept it up between two of our lines
            continue
        if not _taken(lock) and (folder / _LOCK).exists():
            return folder, lock
        os.close(lock)
        if (folder / _LOCK).exists():
            folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))


def _taken(lock: int) -> bool:
    """Whether another build holds `lock`; if not, we do from now on."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # some network file systems have no locks: then nothing is swept up there
        return False
    return False


def _sweep(parent: Path, *, but: str) -> None:
    for folder in parent.glob(PREFIX + "*"):
        if folder.name == but:
            continue
        with suppress(OSError), open(folder / _LOCK, "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # refused while its builder lives
            shutil.rmtree(folder, ignore_errors=True)
