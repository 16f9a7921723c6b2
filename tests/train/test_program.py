import dataclasses
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from paribus.model.initialise import initialise
from paribus.train import program as module
from paribus.train.config import TrainConfig
from paribus.train.program import IGNORE, Program, resolve

from .conftest import MODEL, TRAIN


def test_loss_is_the_summed_nats_of_targets_that_count(program: Program) -> None:
    initialise(program.model, seed=0)
    ids = torch.randint(0, 257, (4, 17), generator=torch.Generator().manual_seed(0))
    inputs, targets = ids[:, :-1], ids[:, 1:].clone()
    targets[2:] = IGNORE
    logits = program.model(inputs, dtype=program.dtype).float()
    expected = F.cross_entropy(logits[:2].flatten(0, 1), targets[:2].flatten()) * 32
    torch.testing.assert_close(program.loss(inputs, targets), expected)


def test_branch_rms_is_that_of_the_layers_output() -> None:
    program = Program(MODEL, TRAIN)
    initialise(program.model, seed=0)
    before = program.branch_rms("ffn", torch.arange(64).reshape(4, 16))
    for block in program.model.decoder.blocks:
        with torch.no_grad():
            block.ffn.down.weight.mul_(3.0)
    after = program.branch_rms("ffn", torch.arange(64).reshape(4, 16))
    assert before > 0
    assert after == pytest.approx(3 * before, rel=1e-5)


def _decided(
    monkeypatch: pytest.MonkeyPatch, compiler: Path | str, **given: str
) -> tuple[TrainConfig, str | None]:
    monkeypatch.setenv("CXX", str(compiler))
    module.missing_compiler.cache_clear()
    try:
        return resolve(dataclasses.replace(TRAIN, **{"compile": "auto", **given}))
    finally:
        module.missing_compiler.cache_clear()


def _compiler(path: Path, *, code: int) -> Path:
    """A program that takes any arguments and exits with this code."""
    path.write_text(f"#!/bin/sh\nexit {code}\n")
    path.chmod(0o755)
    return path


def test_without_a_compiler_it_says_why_it_runs_eager(monkeypatch: pytest.MonkeyPatch) -> None:
    train, why = _decided(monkeypatch, "no-such-compiler -O2")
    assert (train.compile, why) == ("off", "no C++ compiler was found (no-such-compiler)")


def test_a_compiler_that_finds_no_python_headers_does_not_count(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    train, why = _decided(monkeypatch, _compiler(tmp_path / "compiler", code=1))
    assert train.compile == "off"
    assert why is not None and "Python's headers" in why


def test_a_working_compiler_is_used_with_its_arguments(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    train, why = _decided(monkeypatch, f"{_compiler(tmp_path / 'compiler', code=0)} -O2")
    assert (train.compile, why) == ("on", None)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_what_is_given_is_kept(monkeypatch: pytest.MonkeyPatch, dtype: str) -> None:
    train, why = _decided(monkeypatch, "no-such-compiler", dtype=dtype, compile="on")
    assert (train.dtype, train.compile, why) == (dtype, "on", None)
