"""Feed-forward layers under FSDP and tensor parallelism: two processes give what one does."""

from pathlib import Path

import pytest
import torch

from .. import two

pytestmark = pytest.mark.skipif(
    not torch.distributed.is_available(), reason="torch without torch.distributed"
)

HOWS = ("tensor", "fsdp", "fsdp_each")
DAILY = [
    *(f"{how}:swiglu_learnable:{memory}:" for how in HOWS for memory in ("keep", "half", "none")),
    *(f"{how}:{part}:{memory}:" for how in HOWS for part, memory in (("swiglu", "keep"), ("relu", "none"))),
    *(f"{how}:swiglu_learnable:keep:aot_eager" for how in HOWS),
    "fsdp_model:swiglu_learnable:half:",
    "table_rows:embedding:keep:",
    "table_columns:embedding:keep:aot_eager",
    "tensor:softmax:keep:",
]
PARTS = ("swiglu", "swiglu_learnable", "swiglu_clamped", "relu", "prelu")
EVERY = [
    f"{how}:{part}:{memory}:{backend}"
    for how in (*HOWS, "fsdp_model")
    for part in PARTS
    for memory in (("keep", "half", "none") if part.startswith("swiglu") else ("keep", "none"))
    for backend in ("", "aot_eager")
]


def run_two(folder: Path, cases: list[str]) -> dict[str, dict[str, float] | str]:
    """What the two processes found, by case."""
    return two.on_two("tests.parts.two_processes", folder, cases)


def assert_equal(found: dict[str, dict[str, float] | str]) -> None:
    wrong = {
        case: errors
        for case, errors in found.items()
        if isinstance(errors, str) or not all(error < 1e-5 for error in errors.values())
    }
    assert not wrong


def test_two_processes_give_the_output_and_gradients_of_one(tmp_path: Path) -> None:
    found = run_two(tmp_path, DAILY)
    refusal = found.pop("tensor:softmax:keep:")
    assert isinstance(refusal, str) and "Softmax" in refusal and "split" in refusal
    assert found.keys() == set(DAILY[:-1])
    assert_equal(found)


@pytest.mark.slow
@pytest.mark.parametrize("how", [*HOWS, "fsdp_model"])
def test_every_memory_and_backend_over_two_processes(tmp_path: Path, how: str) -> None:
    cases = [case for case in EVERY if case.startswith(f"{how}:")]
    found = run_two(tmp_path, cases)
    assert found.keys() == set(cases)
    assert_equal(found)
