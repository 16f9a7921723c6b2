"""The command that writes docs/benchmarks.md: what it measures, and what it leaves as it was."""

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "pages.py"


@pytest.mark.parametrize("order", [["--rounds", "3", "loss"], ["loss", "--rounds", "3"]])
def test_named_suites_are_measured_and_the_other_sections_stay(
    order: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = importlib.util.spec_from_file_location("pages", SCRIPT)
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    measured: list[tuple[str, int]] = []

    def benchmark(suite: Any, options: dict[str, Any], *, rounds: int) -> dict[str, Any]:
        measured.append((suite.name, rounds))
        return {"of": f"new {suite.name}"}

    monkeypatch.setattr(script, "benchmark", benchmark)
    monkeypatch.setattr(script, "draw", lambda document, path: None)
    monkeypatch.setattr(script, "markdown", lambda document: document["of"])
    page = tmp_path / "page.md"
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "norm-1024.json").write_text(json.dumps({"of": "old norm"}))
    monkeypatch.setattr(sys, "argv", ["pages.py", str(page), *order])
    script.main()
    assert set(measured) == {("loss", 3)}
    assert "old norm" in page.read_text() and "new loss" in page.read_text()
    assert json.loads((tmp_path / "page" / "loss-8192.json").read_text()) == {"of": "new loss"}
