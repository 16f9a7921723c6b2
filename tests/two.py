"""Starts two processes that work together, and reads what the first of them found."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LIMIT = 500  # seconds for all cases of a run; two processes that wait for each other would wait forever


def on_two(module: str, folder: Path, cases: list[str]) -> dict[str, Any]:
    """FOLDER/found.json after `python -m MODULE RANK FOLDER CASE...` as rank 0 and 1, who meet in FOLDER/store."""
    (folder / "store").unlink(missing_ok=True)  # where those before have met
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", module, str(rank), str(folder), *cases],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        said = [process.communicate(timeout=LIMIT)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], "\n".join(said)
    found: dict[str, Any] = json.loads((folder / "found.json").read_text())
    return found
