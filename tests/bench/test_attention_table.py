"""The command that measures the table of attention: when it switches, and what it leaves alone."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from paribus.ops.attention import read_table

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "attention_table.py"
ON = {"cpu": "a processor", "gpu": None, "torch": "9.9"}
pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="the rows below are a CPU's")


@pytest.fixture(scope="module")
def script() -> Any:
    spec = importlib.util.spec_from_file_location("attention_table", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def measured(**milliseconds: float) -> dict[str, Any]:
    rows = [{"name": f"ours, {name}", "cpu_milliseconds": value} for name, value in milliseconds.items()]
    rows.append({"name": "ours, flex", "unavailable": "no GPU"})
    options = {"batch_size": 1, "num_heads": 1, "head_dim": 4}
    return {"rows": rows, "options": options, "rounds": 3, "ran_on": ON}


@pytest.mark.parametrize(
    ("milliseconds", "chosen"),
    [
        ({"plain": 1.0, "sdpa": 0.97}, "plain"),
        ({"plain": 1.0, "sdpa": 0.9}, "sdpa"),
        ({"plain": 1.0, "sdpa": 2.0}, "plain"),
        ({"sdpa": 2.0}, "sdpa"),
    ],
)
def test_a_row_switches_only_where_the_difference_is_clear(
    script: Any, tmp_path: Path, milliseconds: dict[str, float], chosen: str
) -> None:
    table = tmp_path / "table.json"
    given: dict[str, Any] = {"length": 64, "dtype": "float32", "biased": True, "table": table}
    row = script._row(measured(plain=1.0, sdpa=3.0), **given)
    script._put(table, row, ran_on=ON)
    assert read_table(table) == {("cpu", torch.float32, True): [(64, "plain")]}
    script._put(table, script._row(measured(**milliseconds), **given), ran_on=ON)
    assert read_table(table) == {("cpu", torch.float32, True): [(64, chosen)]}


def test_rows_of_other_devices_and_cases_stay(script: Any, tmp_path: Path) -> None:
    table = tmp_path / "table.json"
    of_gpu = {"seq_len": 64, "dtype": "float32", "bias": True, "backend": "flex"}
    of_cpu = {"seq_len": 128, "dtype": "float32", "bias": True, "backend": "plain"}
    table.write_text(json.dumps({"devices": {"cuda": {"rows": [of_gpu]}, "cpu": {"rows": [of_cpu]}}}))
    row = script._row(measured(plain=1.0, sdpa=3.0), length=64, dtype="float32", biased=True, table=table)
    script._put(table, row, ran_on=ON)
    assert read_table(table) == {
        ("cuda", torch.float32, True): [(64, "flex")],
        ("cpu", torch.float32, True): [(64, "plain"), (128, "plain")],
    }
    written = json.loads(table.read_text())["devices"]["cpu"]["rows"][0]
    assert written["on"] == {"name": "a processor", "torch": "9.9"}
    assert written["milliseconds"] == {"plain": 1.0, "sdpa": 3.0}


def test_a_case_in_which_nothing_ran_leaves_no_row(script: Any, tmp_path: Path) -> None:
    found = script._row(measured(), length=64, dtype="float32", biased=True, table=tmp_path / "table.json")
    assert found is None
