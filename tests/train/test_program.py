import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from paribus.errors import RequestError
from paribus.model.initialise import initialise
from paribus.parts.ffn.ungated import FeedForward
from paribus.registry import Registry, part
from paribus.train import program as module
from paribus.train.config import TrainConfig
from paribus.train.optimiser import descend, make_optimiser
from paribus.train.program import IGNORE, Batch, Program, resolve

from ..ops.test_cross_entropy import peak_bytes
from .conftest import MODEL, TRAIN


def test_loss_is_the_summed_nats_of_each_rows_targets_that_count(program: Program) -> None:
    initialise(program.model, seed=0)
    ids = torch.randint(0, 257, (4, 17), generator=torch.Generator().manual_seed(0))
    inputs, targets = ids[:, :-1], ids[:, 1:].clone()
    targets[2:] = IGNORE
    logits = program.model(inputs, dtype=program.dtype).float()
    expected = [16 * F.cross_entropy(row, target) for row, target in zip(logits[:2], targets[:2])]
    loss = program.loss(Batch(inputs_BT=inputs, targets_BT=targets))
    torch.testing.assert_close(loss.nats_B, torch.stack([*expected, torch.zeros(()), torch.zeros(())]))
    # Over what a batch of training scores, whatever this one does.
    torch.testing.assert_close(loss.total, loss.nats_B.sum() / TRAIN.tokens_per_step)


def test_under_memory_pressure_rows_are_taken_in_parts_and_the_loss_is_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exact = dataclasses.replace(TRAIN, dtype="float32")
    whole = Program(MODEL, exact)
    monkeypatch.setattr(module, "machine_bytes", lambda: 8 * 64 * 2**10)  # an eighth is 64 KiB
    parted = Program(MODEL, exact)
    assert whole.loss_parts == 1 < parted.loss_parts
    assert not any(_keeps_logits(program) for program in (whole, parted))
    torch.testing.assert_close(_loss_and_gradients(parted), _loss_and_gradients(whole), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("tied", [False, True])
def test_the_loss_counts_the_bias_and_the_transform_of_the_head(
    monkeypatch: pytest.MonkeyPatch, tied: bool
) -> None:
    headed = dataclasses.replace(MODEL, head_bias=True, head_transform="gelu", tie_embeddings=tied)
    ids = torch.randint(0, 257, (4, 17), generator=torch.Generator().manual_seed(0))
    inputs, targets = ids[:, :-1], ids[:, 1:]
    for memory_bytes in (1 << 30, 8 * 64 * 2**10):  # all rows at once, and in parts
        monkeypatch.setattr(module, "machine_bytes", lambda size=memory_bytes: size)
        program = Program(headed, dataclasses.replace(TRAIN, dtype="float32"))
        initialise(program.model, seed=0)
        with torch.no_grad():
            program.model.head.bias.copy_(torch.linspace(-2, 2, 257))
        loss = program.loss(Batch(inputs_BT=inputs, targets_BT=targets))
        loss.mean.backward()
        found = {name: p.grad for name, p in program.model.named_parameters() if "head" in name}
        program.model.zero_grad()
        logits = program.model(inputs)
        expected = (
            F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view(4, 16).sum(1)
        )
        torch.testing.assert_close(loss.nats_B, expected)
        (expected.sum() / program.scored_per_step).backward()
        assert len(found) == 4 + (not tied)
        for name, gradient in found.items():
            exact = program.model.get_parameter(name).grad
            torch.testing.assert_close(gradient, exact, rtol=1e-4, atol=1e-4)
    assert program.loss_parts > 1


def test_branch_rms_is_that_of_the_layers_output() -> None:
    program = Program(MODEL, TRAIN)
    initialise(program.model, seed=0)
    ids = torch.arange(64).reshape(4, 16)
    batch = Batch(inputs_BT=ids, targets_BT=ids)
    before = program.branch_rms("ffn", batch)
    for block in program.model.decoder.blocks:
        with torch.no_grad():
            block.ffn.down.weight.mul_(3.0)
    after = program.branch_rms("ffn", batch)
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


def test_what_a_killed_compiler_left_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    (tmp_path / "ab").mkdir()
    old, new, whole = (tmp_path / "ab" / f"{name}.main.so" for name in ("old", "new", "whole"))
    for path, content in ((old, b""), (new, b""), (whole, b"x")):
        path.write_bytes(content)
    for path in (old, whole):
        os.utime(path, (1, 1))
    module.forget_broken_libraries.cache_clear()
    module.forget_broken_libraries()
    assert not old.exists() and new.exists() and whole.exists()


def test_a_working_compiler_is_used_with_its_arguments(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    train, why = _decided(monkeypatch, f"{_compiler(tmp_path / 'compiler', code=0)} -O2")
    assert (train.compile, why) == ("on", None)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_what_is_given_is_kept(monkeypatch: pytest.MonkeyPatch, dtype: str) -> None:
    train, why = _decided(monkeypatch, "no-such-compiler", dtype=dtype, compile="on")
    assert (train.dtype, train.compile, why) == (dtype, "on", None)


class _WithExtraLoss(FeedForward):
    """A layer that gives a loss of its own beside its output, as a mixture of experts does."""

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return super().forward(x), {"loss": 0.25 * self.up.weight.square().sum()}


def test_what_layers_add_to_the_loss_is_summed_and_kept_apart(own_registry: Registry) -> None:
    part("ffn", "extra", formula="x", paper="here")(_WithExtraLoss)
    plain, extra = (
        Program(dataclasses.replace(MODEL, num_layers=2, ffn=ffn), TRAIN) for ffn in ("relu", "extra")
    )
    ids = torch.arange(64).reshape(4, 16)
    for program in (plain, extra):
        initialise(program.model, seed=0)
    batch = Batch(inputs_BT=ids, targets_BT=ids)
    (mean, nats, none), (same_mean, same, added) = plain.loss(batch), extra.loss(batch)
    assert none is None and torch.equal(nats, same) and torch.equal(mean, same_mean)
    ups = [block.ffn.up.weight for block in extra.model.blocks()]
    assert added is not None and torch.equal(extra.loss(batch).total, mean + added)
    torch.testing.assert_close(added, 0.25 * sum(up.square().sum() for up in ups))


class _Noisy(FeedForward):
    """A layer that is another one in training."""

    mode_dependent = True

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * (2.0 if self.training else 1.0)


def test_scoring_puts_mode_dependent_parts_and_no_others_into_their_other_mode(
    own_registry: Registry,
) -> None:
    part("ffn", "noisy", formula="x", paper="here")(_Noisy)
    program = Program(dataclasses.replace(MODEL, ffn="noisy"), TRAIN)
    with program.scoring():
        modes = {name: module.training for name, module in program.model.named_modules()}
        assert all(training != name.startswith("decoder.blocks.0.ffn") for name, training in modes.items())
    assert all(module.training for module in program.model.modules())


def test_an_objective_for_another_architecture_is_refused() -> None:
    with pytest.raises(RequestError, match="masked_token.*encoder.*decoder.*next_token"):
        Program(MODEL, dataclasses.replace(TRAIN, objective="masked_token"))


def _keeps_logits(program: Program) -> bool:
    """Whether all logits of a batch are kept for the backward pass."""
    ids = torch.arange(64).reshape(4, 16)
    kept: list[torch.Size] = []

    def pack(saved: Tensor) -> Tensor:
        kept.append(saved.shape)
        return saved

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved):
        program.loss(Batch(inputs_BT=ids, targets_BT=ids))
    return torch.Size((64, MODEL.vocab_size)) in kept


def _loss_and_gradients(program: Program) -> list[Tensor]:
    initialise(program.model, seed=0)
    ids = torch.arange(64).reshape(4, 16)
    loss = program.loss(Batch(inputs_BT=ids, targets_BT=ids))
    return [loss.nats_B, *torch.autograd.grad(loss.total, list(program.model.parameters()))]


@pytest.mark.slow
@pytest.mark.usefixtures("fresh_compiler")
def test_a_deep_model_is_compiled_by_block_in_one_graph_for_all_of_them() -> None:
    """One graph for all blocks and one for the head, whatever the depth."""
    deep = dataclasses.replace(MODEL, num_layers=8)
    eager = Program(deep, dataclasses.replace(TRAIN, dtype="float32"))
    compiled = Program(deep, dataclasses.replace(TRAIN, dtype="float32", compile="on"))
    assert (eager.compiled_by, compiled.compiled_by) == (None, "block")
    torch._dynamo.utils.counters.clear()
    expected, actual = _loss_and_gradients(eager), _loss_and_gradients(compiled)
    for one, other in zip(expected, actual, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 2


@pytest.mark.slow
@pytest.mark.usefixtures("fresh_compiler")
def test_twelve_arms_in_one_process_all_run_compiled() -> None:
    """Past torch's recompile limit a process would go on eager and say nothing."""
    arms = [
        "relu",
        "gelu",
        "silu",
        "relu2",
        "glu",
        "gtu",
        "bilinear",
        "reglu",
        "geglu",
        "swiglu",
        "mish",
        "elu",
    ]
    for number, ffn in enumerate(arms, start=1):
        program = Program(dataclasses.replace(MODEL, ffn=ffn), dataclasses.replace(TRAIN, compile="on"))
        torch._dynamo.utils.counters.clear()
        for _ in range(2):
            _loss_and_gradients(program)
        stats = torch._dynamo.utils.counters
        assert stats["stats"]["unique_graphs"] == 1, (number, ffn)
        assert not stats["graph_break"] and not stats["unimplemented"], (number, ffn)


@pytest.mark.slow
@pytest.mark.usefixtures("fresh_compiler")
def test_compiled_a_step_never_holds_the_logits_of_all_rows() -> None:
    """With the whole model in one graph, a compiler might put the parts in another order, or keep float32."""
    vocab, rows = 8192, 4 * 256
    model = dataclasses.replace(MODEL, vocab_size=vocab, max_seq_len=256)
    train = dataclasses.replace(
        TRAIN, tokens=20 * rows, batch_size=4, seq_len=256, dtype="bfloat16", compile="on"
    )
    ids = torch.randint(vocab, (4, 256), generator=torch.Generator().manual_seed(0))
    batch = Batch(inputs_BT=ids, targets_BT=ids)

    def peak(parts: int) -> int:
        program = Program(model, train)
        program.loss_parts = parts
        initialise(program.model, seed=0)

        def step() -> None:
            program.loss(batch).total.backward()
            program.model.zero_grad()

        step()
        return peak_bytes(step)

    logits = rows * vocab * 2
    assert peak(1) - peak(8) > 0.8 * logits
    assert peak(8) < logits


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.usefixtures("fresh_compiler", "two_threads")
@pytest.mark.parametrize(
    ("position", "compile"), [("rope", "on"), ("learned", "on"), ("shaw", "on"), ("t5", "on"), ("t5", "off")]
)
def test_steps_on_two_threads_give_the_same_bits_again(position: str, compile: str) -> None:
    """Threads that add to one number as they come would add in another order each time."""
    model = dataclasses.replace(MODEL, d_model=64, max_seq_len=128, position=position, tie_embeddings=True)
    train = dataclasses.replace(
        TRAIN, tokens=20 * 1024, batch_size=8, seq_len=128, dtype="float32", compile=compile
    )
    ids = torch.randint(4, (8, 128), generator=torch.Generator().manual_seed(0))
    batch = Batch(inputs_BT=ids, targets_BT=ids, position_BT=torch.arange(128).expand(8, -1).contiguous())
    program = Program(model, train)

    def trained() -> list[Tensor]:
        initialise(program.model, seed=0)
        program.reset()
        optimiser = make_optimiser(program.model, train, peak_rate=1e-2)
        for _ in range(8):
            program.loss(batch).total.backward()
            descend(program.model.parameters(), optimiser, clip=1.0)
        return [parameter.detach().clone() for parameter in program.model.parameters()]

    first, again = trained(), trained()
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
