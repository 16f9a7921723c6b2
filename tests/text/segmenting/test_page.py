"""The programs of docs/segmenting.md run, one after another."""

import re
import runpy
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[3] / "docs" / "segmenting.md"


def test_the_programs_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    programs = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert len(programs) == 4
    (tmp_path / "page.py").write_text("\n".join(programs), "utf-8")
    assert runpy.run_path(str(tmp_path / "page.py"))["segmenter"].name == "rule"
