"""`paribus verify` as a person runs it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from paribus.cli import app
from paribus.errors import RequestError
from paribus.parts.norm.rmsnorm import RMSNorm

RUNNER = CliRunner(env={"COLUMNS": "200"})  # one line a row


def test_a_passing_slot_ends_with_code_0_and_says_so() -> None:
    result = RUNNER.invoke(app, ["verify", "norm", "--device", "cpu"])
    assert result.exit_code == 0, result.output
    assert "layernorm" in result.stdout and "FAIL" not in result.stdout
    assert "9 parts" in result.stderr and f"all pass on torch {torch.__version__}, cpu" in result.stderr


def test_the_table_has_the_worst_of_each_part_and_kind() -> None:
    lines = RUNNER.invoke(app, ["verify", "rmsnorm", "--device", "cpu"]).stdout.splitlines()
    (output,) = [line for line in lines if "output" in line]
    (gradients,) = [line for line in lines if "gradients" in line]
    assert "rmsnorm" in output and "pass" in output and "pass" in gradients


def test_json_is_one_document_with_every_check() -> None:
    result = RUNNER.invoke(app, ["verify", "rope", "swiglu", "--dtype", "all", "--device", "cpu", "--json"])
    document = json.loads(result.stdout)
    assert result.exit_code == 0 and document["passed"] is True
    assert (document["torch"], document["device"], document["dtype"]) == (torch.__version__, "cpu", "all")
    assert document["device_name"] and document["without_oracle"] == []
    rows = document["checks"]
    assert {row["dtype"] for row in rows} == {"float64", "float32", "bfloat16"}
    assert {(row["slot"], row["part"]) for row in rows} == {("position", "rope"), ("ffn", "swiglu")}
    assert {"causal: sdpa: gradients", "bias True: output"} <= {row["check"] for row in rows}
    assert all(row["pass"] and row["error"] <= row["bound"] for row in rows)


def test_a_failing_part_ends_with_code_1_and_every_failure_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(self: RMSNorm, x: Tensor) -> Tensor:
        return x * (self.weight + self.eps)

    monkeypatch.setattr(RMSNorm, "forward", wrong)
    result = RUNNER.invoke(app, ["verify", "rmsnorm", "--device", "cpu"])
    assert result.exit_code == 1
    assert result.stdout.count("FAIL") == 10 and "10 FAIL" in result.stderr  # five sets of options, two kinds


def test_a_part_that_raises_or_gives_nan_makes_a_document_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def raising(self: RMSNorm, x: Tensor) -> Tensor:
        raise RuntimeError("[no] kernel")

    def nan(self: RMSNorm, x: Tensor) -> Tensor:
        return x * self.weight * float("nan")

    for wrong, reason in ((raising, "RuntimeError: [no] kernel"), (nan, None)):
        monkeypatch.setattr(RMSNorm, "forward", wrong)
        result = RUNNER.invoke(app, ["verify", "rmsnorm", "--device", "cpu", "--json"])
        document = json.loads(result.stdout, parse_constant=pytest.fail)
        assert result.exit_code == 1 and document["passed"] is False
        assert {(row["error"], row["pass"], row["reason"]) for row in document["checks"]} == {
            (None, False, reason)
        }
        shown = RUNNER.invoke(app, ["verify", "rmsnorm", "--device", "cpu"])
        assert shown.exit_code == 1 and (reason or "nan") in " ".join(shown.stdout.split())


def test_a_part_of_the_users_own_is_neither_pass_nor_fail(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("from torch import nn\nclass Mine(nn.Identity): pass\n")
    result = RUNNER.invoke(app, ["verify", f"{file}:Mine", "rmsnorm", "--device", "cpu"])
    assert result.exit_code == 0 and "Mine: no oracle" in result.stderr and "all pass" in result.stderr
    alone = RUNNER.invoke(app, ["verify", f"{file}:Mine", "--device", "cpu"])
    assert alone.exit_code == 0 and "nothing to verify" in alone.stderr and "pass" not in alone.stderr


@pytest.mark.parametrize(
    "request_", [["no_such_part"], ["norm", "--dtype", "int8"], ["norm", "--device", "x"]]
)
def test_a_wrong_request_is_refused(request_: list[str]) -> None:
    assert isinstance(RUNNER.invoke(app, ["verify", *request_]).exception, RequestError)


def test_a_wrong_request_ends_with_code_2_and_a_sentence() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "paribus", "verify", "rmsnrom"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 2 and "rmsnorm" in run.stderr and "Traceback" not in run.stderr
