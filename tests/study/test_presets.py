"""A whole study as a user runs it: compiled, on real text, at the size of a preset."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_the_quick_preset_runs_compiled_and_finds_its_handicap(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "paribus", "study", "ffn", "--preset", "quick"),
            *("--out", str(tmp_path / "out"), "--json"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert results["environment"]["compiled"] == "True"
    assert {trial["status"] for trial in results["trials"]} == {"done"}
    assert {control["name"]: control["ok"] for control in results["controls"]}["handicap"]
