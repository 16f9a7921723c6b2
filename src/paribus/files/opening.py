"""Opens a file that somebody else wrote, and only if it is a file: a pipe or a device is refused, not waited for."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from paribus.errors import RequestError, WorkError, shown

_NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG})
_CLOSED = frozenset({errno.EACCES, errno.EPERM})


@contextmanager
def answering(path: Path) -> Iterator[None]:
    """Raises `RequestError` if `path` is not there or closed to us, `WorkError` if reading it breaks off."""
    try:
        yield
    except OSError as error:
        if error.errno in _NOT_THERE:
            raise RequestError(f"there is no file {place(path)}") from error
        if error.errno in _CLOSED:
            raise RequestError(f"{place(path)} cannot be read: permission denied") from error
        raise WorkError(f"reading {place(path)} failed: {error.strerror or error}") from error


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The regular file at `path`; links are followed.

    Raises `RequestError` for anything but a regular file that may be read.
    """
    with answering(path):
        # Looked at before it is opened, for opening can already do something to a device; and once more
        # afterwards, without waiting for a writer, for a pipe may have taken the file's place since.
        _only_a_file(path, status_of(path))
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file, answering(path):
        _only_a_file(path, os.fstat(descriptor))
        yield file


def bytes_of(path: Path, what: str, *, at_most: int) -> bytes:
    """All bytes of the regular file at `path`; `what` says in messages what is read.

    Raises `RequestError` for a file of more than `at_most` bytes, of which none is read.
    """
    with opened(path) as file:
        if (size := size_of(file)) > at_most:
            raise RequestError(f"{place(path)} has {size:,} bytes: {what} of at most {at_most:,} is read")
        return file.read(at_most)


def status_of(path: Path) -> os.stat_result:
    """What is at `path`, links followed."""
    try:
        return os.stat(path)
    except ValueError as error:  # a path with a NUL
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from error


def size_of(file: BinaryIO) -> int:
    """Bytes of an open file."""
    return os.fstat(file.fileno()).st_size


def place(path: Path) -> str:
    """`path` for a message."""
    return shown(path, at_most=300)


def _only_a_file(path: Path, status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise RequestError(f"{place(path)} is a folder where a file is expected")
    if not stat.S_ISREG(status.st_mode):
        raise RequestError(f"{place(path)} is not a file but a pipe, a socket or a device")
