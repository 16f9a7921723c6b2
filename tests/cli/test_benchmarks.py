"""Tables of `paribus bench` on a terminal."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from paribus.bench.page import cells
from paribus.cli.benchmarks import table

MEASURED = sorted((Path(__file__).parents[2] / "docs" / "benchmarks").glob("*.json"))


@pytest.mark.parametrize("path", MEASURED, ids=lambda path: path.stem)
def test_a_table_keeps_its_names_and_numbers_on_a_narrow_terminal(path: Path) -> None:
    document = json.loads(path.read_text())
    document["rows"][0]["name"] = document["rows"][0]["name"] * 2  # long
    console = Console(width=80, file=io.StringIO(), color_system=None, legacy_windows=False)
    console.print(table(document))
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert "…" not in shown
    for row in document["rows"]:
        name, *numbers = cells(document, row)
        assert all(word[:16] in shown for word in name.split())
        if not row["unavailable"]:
            assert all(number in shown for number in numbers)
