"""`paribus verify` as a person runs it."""

import json

import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from paribus.cli import app
from paribus.errors import RequestError
from paribus.parts.norm.rmsnorm import RMSNorm

RUNNER = CliRunner()


def test_a_passing_slot_ends_with_code_0_and_says_so() -> None:
    result = RUNNER.invoke(app, ["verify", "norm"])
    assert result.exit_code == 0, result.output
    assert "layernorm" in result.stdout and "FAIL" not in result.stdout
    assert "all pass" in result.stderr and torch.__version__ in result.stderr


def test_json_is_one_document_with_every_check() -> None:
    result = RUNNER.invoke(app, ["verify", "rope", "swiglu", "--dtype", "all", "--device", "cpu", "--json"])
    document = json.loads(result.stdout)
    assert result.exit_code == 0 and document["passed"] is True
    assert document["dtypes"] == ["float64", "float32", "bfloat16"]
    assert {(row["slot"], row["part"]) for row in document["checks"]} == {
        ("position", "rope"),
        ("ffn", "swiglu"),
    }
    assert all(row["pass"] and row["error"] <= row["bound"] for row in document["checks"])


def test_a_failing_part_ends_with_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(self: RMSNorm, x: Tensor) -> Tensor:
        return 1.01 * x

    monkeypatch.setattr(RMSNorm, "forward", wrong)
    result = RUNNER.invoke(app, ["verify", "rmsnorm"])
    assert result.exit_code == 1 and "FAIL" in result.stdout


@pytest.mark.parametrize(
    "request_", [["no_such_part"], ["norm", "--dtype", "int8"], ["norm", "--device", "x"]]
)
def test_a_wrong_request_is_refused(request_: list[str]) -> None:
    assert isinstance(RUNNER.invoke(app, ["verify", *request_]).exception, RequestError)
