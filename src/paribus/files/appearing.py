"""Files that appear when they are complete: a reader sees the old one or the new one, never half of one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """A draft beside `path`, to be written: it becomes `path` if nothing is raised, and is gone otherwise.

    What is no file (a pipe, `/dev/null`) cannot be replaced: there the draft is `path` itself. A link is followed.
    `OSError` is the caller's to say.
    """
    if path.exists() and not path.is_file():
        yield path
        return
    real = Path(os.path.realpath(path))
    draft = real.with_name(f".{real.name}.{os.getpid()}.tmp")
    try:
        yield draft
        os.replace(draft, real)
    finally:
        draft.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes) -> None:
    """Write the file `path`, so that it appears when it is complete."""
    with appearing(path) as draft:
        draft.write_bytes(content)
