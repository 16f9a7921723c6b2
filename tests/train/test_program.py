import dataclasses

import pytest
import torch
import torch.nn.functional as F

from paribus.model.initialise import initialise
from paribus.train import program as module
from paribus.train.program import IGNORE, Program, compute_dtype

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


def test_without_a_compiler_it_says_why_it_runs_eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "compiler", lambda: None)
    automatic = Program(MODEL, dataclasses.replace(TRAIN, compile="auto"))
    assert (automatic.compiled, automatic.why_eager) == (False, "no C++ compiler was found")


def test_a_named_dtype_is_taken() -> None:
    assert compute_dtype("float32", "cpu") == torch.float32
    assert compute_dtype("bfloat16", "cpu") == torch.bfloat16
