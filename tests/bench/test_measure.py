"""Benchmarks as data: options, ratios, what is kept, and one real run through the command line."""

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from paribus.bench.contender import Measured, Missing
from paribus.bench.measure import rows
from paribus.bench.page import markdown
from paribus.bench.suites import SUITES
from paribus.bench.worker import kept_bytes
from paribus.cli.benchmarks import NAMES
from paribus.errors import RequestError
from paribus.ops import precision


def test_every_suite_has_a_command_and_the_other_way_round() -> None:
    assert set(NAMES) == set(SUITES)


@pytest.mark.parametrize("name", SUITES)
def test_every_suite_times_ours_its_floor_and_others_under_different_names(name: str) -> None:
    suite = SUITES[name]
    options = suite.options(None, {})
    contenders = suite.contenders(options)
    names = [each.name for each in contenders]
    assert len(set(names)) == len(names)
    assert {"ours", "ours again"} <= set(names)
    assert {each.kind for each in contenders} == {"floor", "ours", "peer"}
    assert suite.reference in names
    assert suite.tokens(options) > 0


@pytest.mark.parametrize(
    ("shape", "given", "said"),
    [
        ("huge", {}, "no shape 'huge'; known: 512, 1024, 2048$"),
        (None, {"d_modle": 4}, "did you mean d_model"),
        (None, {"d_model": 0}, "at least 1"),
        (None, {"d_model": "wide"}, "a whole number"),
        (None, {"dtype": "float8"}, "dtype is auto, bfloat16, float32; it is 'float8'$"),
    ],
)
def test_impossible_sizes_are_refused_in_one_sentence(
    shape: str | None, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(RequestError, match=said) as caught:
        SUITES["ffn"].options(shape, given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("fast", "dtype"), [(True, "bfloat16"), (False, "float32")])
def test_a_benchmark_runs_in_what_the_machine_multiplies_fast(
    monkeypatch: pytest.MonkeyPatch, fast: bool, dtype: str
) -> None:
    monkeypatch.setattr(precision, "multiplies_in_bfloat16", lambda device: fast)
    for name, suite in SUITES.items():
        if not name.startswith("tokenizer"):
            assert suite.options(None, {})["dtype"] == dtype
    assert SUITES["step"].options(None, {"dtype": "bfloat16"})["dtype"] == "bfloat16"
    weights = [each.name for each in SUITES["step"].contenders(SUITES["step"].options(None, {}))]
    assert ("transformers sdpa, bf16 weights" in weights) is fast


def test_ratios_are_of_medians_and_a_contender_that_could_not_run_has_none() -> None:
    ours = Measured(name="ours", kind="ours", note="", seconds=[1.0, 2.0, 9.0], cpu_seconds=[1.0, 1.0, 4.0])
    slow = Measured(name="slow", kind="peer", note="", seconds=[3.0, 4.0, 5.0], cpu_seconds=[2.0, 3.0, 4.0])
    absent = Measured(name="absent", kind="peer", note="", unavailable="x is not installed")
    table = rows([ours, slow, absent], tokens=10, reference="ours")
    assert [row.get("ratio") for row in table] == [1.0, 2.0, None]
    assert [row.get("cpu_ratio") for row in table] == [1.0, 3.0, None]
    assert table[1]["tokens_per_second"] == 10 / statistics.median(slow.seconds)
    low, high = table[1]["ratio_range"]
    assert 3 / 9 <= low <= 2.0 <= high <= 5.0
    assert table[2]["unavailable"] == "x is not installed"


def test_bytes_kept_leave_out_what_exists_anyway() -> None:
    x = torch.randn(10, requires_grad=True)
    # exp keeps its result, the square its input, which is x.
    assert kept_bytes(lambda: (x.square() + x.exp()).sum(), owned=[x]) == 40
    assert kept_bytes(lambda: (x.square() + x.exp()).sum()) == 80


def test_attention_refuses_a_bias_that_is_none() -> None:
    with pytest.raises(RequestError, match="rope"):
        SUITES["attention"].contenders(SUITES["attention"].options(None, {"bias": "rope"}))


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU can")
def test_flex_attention_says_why_it_takes_no_part_on_a_cpu() -> None:
    contenders = SUITES["attention"].contenders(SUITES["attention"].options(None, {"bias": "t5"}))
    flex = next(each for each in contenders if each.name == "ours, flex")
    with pytest.raises(Missing, match="GPU"):
        flex.make()


@pytest.mark.parametrize("bias", ["none", "alibi", "t5"])
def test_eager_attention_of_a_suite_does_the_work_of_its_peer(bias: str) -> None:
    given = {"bias": bias, "seq_len": 8, "batch_size": 1, "dtype": "float32"}
    contenders = SUITES["attention"].contenders(SUITES["attention"].options(None, given))
    found = []
    for name in ("ours, eager", "scaled_dot_product_attention, eager"):
        torch.manual_seed(0)
        case = next(each for each in contenders if each.name == name).make()
        case.step()
        assert case.forward is not None
        found.append(case.forward())
    torch.testing.assert_close(*found)


@pytest.mark.slow
def test_step_runs_for_real() -> None:
    """Ours against the bare products, at the smallest size that has all parts."""
    sizes = [
        "vocab_size=64",
        "d_model=16",
        "d_ff=32",
        "num_layers=1",
        "num_heads=2",
        "batch_size=2",
        "seq_len=8",
    ]
    document = bench("step", *sizes, "--rounds", "2", "--only", "bare")
    assert [row["name"] for row in document["rows"]] == ["bare products", "ours"]
    assert all(row["milliseconds"] > 0 for row in document["rows"])


def bench(*arguments: str) -> dict[str, Any]:
    ran = subprocess.run(
        [sys.executable, "-m", "paribus", "bench", *arguments, "--json", "--threads", "1"],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(ran.stdout)


def test_a_benchmark_runs_and_is_written_down(tmp_path: Path) -> None:
    page = tmp_path / "norm.md"
    sizes = ["d_model=8", "tokens=4"]
    document = bench("norm", *sizes, "--rounds", "3", "--only", "LayerNorm", "--out", str(page))
    assert document["options"] | {"d_model": 8, "tokens": 4} == document["options"]
    rows_by_name = {row["name"]: row for row in document["rows"]}
    assert set(rows_by_name) == {"ours", "torch.nn.LayerNorm, compiled"}
    assert all(row["rounds"] == 3 and row["milliseconds"] > 0 for row in document["rows"])
    assert rows_by_name["ours"]["ratio"] == 1.0
    assert markdown(document) in page.read_text()
    assert "norm.svg" in page.read_text() and (tmp_path / "norm.svg").read_text().startswith("<?xml")
