"""Which code this is, line by line: a version says which release, and nothing about what was changed since."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

import paribus


@functools.cache
def digest(*rooms: str) -> str:
    """sha256 of the names and contents of the Python and data files in these folders of the package."""
    root = Path(paribus.__file__).parent
    found = (file for room in rooms for file in (root / room).rglob("*"))
    files = sorted(file for file in found if file.suffix in (".py", ".json"))
    lines = [f"{hashlib.sha256(file.read_bytes()).hexdigest()} {file.relative_to(root)}" for file in files]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
