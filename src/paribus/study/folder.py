"""The folder of a study: whose it is, and that only one process works on it.

The lock is a `flock` that the workers inherit, so it stays held until the last of them is gone, however the
study's own process ended.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from paribus.errors import RequestError, WorkError

LEDGER, PLAN, LOCK = "ledger.sqlite", "plan.json", "study.lock"
_WAIT_SECONDS = 10.0  # workers of a killed study notice within about a second


def open_folder(path: Path) -> Path:
    """Make the folder of a study if need be; raises `RequestError` as `open_for` does."""
    open_for("study", path, kept=LEDGER)
    return path


def open_for(what: str, path: Path, *, kept: str) -> None:
    """Make a folder if need be.

    Raises `RequestError` if nothing can be written there, or if it holds things and no file `kept`, by which a
    folder of this kind is known.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise RequestError(f"the output folder {path} cannot be written to: {error.strerror}") from error
    strangers = [item.name for item in path.iterdir() if item.name != LOCK]
    if strangers and kept not in strangers:
        raise RequestError(
            f"the output folder {path} is not empty and holds no {what} (it has {strangers[0]}); "
            "give a new or empty folder as --out"
        )


def planned_threads(path: Path) -> int | None:
    """Threads of a worker in the plan of the study in this folder; None if it holds none that can be read."""
    try:
        threads = json.loads((path / PLAN).read_text())["threads"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return threads if isinstance(threads, int) and threads > 0 else None


@contextmanager
def hold(path: Path) -> Iterator[int]:
    """Hold the study in this folder; yields the lock's file descriptor, for workers to inherit.

    Waits up to ten seconds for workers of a killed run to go, then raises `WorkError`.
    """
    descriptor = os.open(path / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        give_up = time.monotonic() + _WAIT_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > give_up:
                    holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
                    raise WorkError(
                        f"process {holder} is working on what is in {path}; wait for it or stop it"
                    ) from None
                time.sleep(0.1)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)
