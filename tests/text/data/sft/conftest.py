"""Small files of conversations."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

Write = Callable[[Sequence[Any]], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes rows, or lines as they are, to a file."""

    def to_file(rows: Sequence[Any]) -> Path:
        path = tmp_path / "rows.jsonl"
        lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return path

    return to_file


def pair(number: int, asked: int, answered: int) -> dict[str, str]:
    """A prompt and an answer of so many bytes, told apart by their number."""
    return {
        "prompt": f"{number:04d}".ljust(asked, "p")[:asked],
        "answer": f"{number:04d}".ljust(answered, "a")[:answered],
    }
