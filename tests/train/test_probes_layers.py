"""Sizes of stream and gradients, against one pass done by hand; times and forms, against what ran."""

import dataclasses
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from paribus.model.initialise import initialise
from paribus.text.data import Dataset
from paribus.train.evaluation import heldout_examples
from paribus.train.probes import as_run, make_probe
from paribus.train.probes.as_run import _SETTINGS
from paribus.train.probes.reference_time import _reference
from paribus.train.program import Batch, Program

from .conftest import MODEL, TRAIN

TRAIN32 = dataclasses.replace(TRAIN, dtype="float32")


class FusedCalls(TorchFunctionMode):
    """Counts what goes through torch's fused attention."""

    count = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func is F.scaled_dot_product_attention
        return func(*args, **(kwargs or {}))


def fused_calls(program: Program, length: int) -> int:
    with torch.no_grad(), FusedCalls() as calls:
        program.model(torch.zeros(1, length, dtype=torch.long))
    return calls.count


def test_sizes_of_stream_and_gradients_are_those_of_one_pass(data: Dataset) -> None:
    program = Program(dataclasses.replace(MODEL, num_layers=3), TRAIN32)
    initialise(program.model, seed=0)
    probe = make_probe("layers", {})
    found = probe.at_start(program, data, TRAIN32, seed=0)
    config = dataclasses.replace(TRAIN32, heldout_tokens=TRAIN32.tokens_per_step)
    batch = Batch.of(heldout_examples(program.objective, data, config), program.device)
    streams: list[Tensor] = []
    for block in program.model.blocks():
        block.register_forward_hook(lambda _m, _i, given: streams.append(given[0].detach()))
    program.loss(batch).mean.backward()
    assert found["tokens"] == batch.targets_BT.numel()
    assert found["activation_rms"] == pytest.approx(
        [float(s.square().mean().sqrt()) for s in streams], rel=1e-5
    )
    for block, rms in zip(program.model.blocks(), found["gradient_rms"], strict=True):
        grads = torch.cat([p.grad.flatten() for p in block.parameters()])
        assert rms == pytest.approx(float(grads.square().mean().sqrt()), rel=1e-4)


def test_the_end_is_measured_on_the_tokens_of_the_start(data: Dataset) -> None:
    program = Program(MODEL, TRAIN32)
    initialise(program.model, seed=0)
    probe = make_probe("layers", {"num_tokens": 100})
    start = probe.at_start(program, data, TRAIN32, seed=0)
    assert probe.at_end(program, data, TRAIN32, seed=1) == start
    with torch.no_grad():
        program.model.embedding.weight.mul_(3.0)
    assert probe.at_end(program, data, TRAIN32, seed=0)["activation_rms"] != start["activation_rms"]


@pytest.mark.parametrize("length", [64, 512])
@pytest.mark.parametrize(
    ("changes", "always_plain"),
    [
        ({}, 0),
        ({"position": "alibi"}, 0),
        ({"position": "shaw"}, 2),
        ({"attention": [{"name": "mha", "softcap": 5.0}, "mha"]}, 1),
        ({"attention": {"name": "mha", "sinks": True}}, 2),
        ({"position": ["rope", "shaw"]}, 1),
    ],
)
@pytest.mark.usefixtures("fused_above_256")
def test_as_run_names_the_backends_that_ran(changes: dict[str, Any], always_plain: int, length: int) -> None:
    program = Program(dataclasses.replace(MODEL, num_layers=2, max_seq_len=512, **changes), TRAIN32)
    initialise(program.model, seed=0)
    layers = as_run(program, seq_len=length)["attention"]
    assert sum(layer["backend"] == "sdpa" for layer in layers) == fused_calls(program, length)
    assert sum(layer["why"] is not None for layer in layers) == always_plain


def test_as_run_tells_layers_with_a_bias_from_those_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their backends are measured apart: here nothing was measured with a bias."""
    table = {("cpu", torch.float32, False): [(256, "plain")]}
    monkeypatch.setattr("paribus.ops.attention._MEASURED", table)
    program = Program(dataclasses.replace(MODEL, num_layers=2, position=["rope", "t5"]), TRAIN32)
    initialise(program.model, seed=0)
    layers = as_run(program, seq_len=16)["attention"]
    assert [layer["backend"] for layer in layers] == ["plain", "sdpa"]
    assert fused_calls(program, 16) == 1


def test_as_run_says_what_the_program_is() -> None:
    program = Program(dataclasses.replace(MODEL, num_layers=2, ffn=["swiglu", "relu"]), TRAIN32)
    found = as_run(program)
    assert (found["dtype"], found["compiled"], found["device"]) == ("float32", False, program.device.type)
    assert found["ffn"] == "GatedFeedForward, FeedForward"
    lean = Program(
        dataclasses.replace(MODEL, ffn=["swiglu", "relu"], num_layers=2, ffn_memory="none"), TRAIN32
    )
    assert as_run(lean)["ffn"] == "GatedFeedForward memory none, FeedForward memory none"
    assert found["attention_backend"] in ("plain", "sdpa")
    assert found["device_name"]


@pytest.mark.parametrize(
    ("num_layers", "compile", "by"), [(2, "on", "model"), (8, "on", "block"), (2, "off", None)]
)
def test_as_run_says_by_what_the_program_is_compiled(num_layers: int, compile: str, by: str | None) -> None:
    train = dataclasses.replace(TRAIN32, compile=compile)
    found = as_run(Program(dataclasses.replace(MODEL, num_layers=num_layers), train))
    assert (found["compiled_by"], found["compiled"]) == (by, by is not None)


def test_as_run_gives_the_settings_of_the_process_that_change_its_speed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in _SETTINGS:
        monkeypatch.delenv(name, raising=False)
    program = Program(MODEL, TRAIN32)
    assert as_run(program)["settings"] == {}
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    assert as_run(program)["settings"] == {"OMP_WAIT_POLICY": "passive"}


def test_as_run_counts_the_cross_attention_of_an_encoder_decoder() -> None:
    model = dataclasses.replace(MODEL, architecture="encoder_decoder", vocab_size=300, max_seq_len=32)
    layers = as_run(Program(model, TRAIN32), seq_len=16)["attention"]
    assert [layer["layer"] for layer in layers] == [
        "encoder.blocks.0.attention",
        "decoder.blocks.0.attention",
        "decoder.blocks.0.cross_attention",
    ]


@pytest.mark.usefixtures("fused_above_256")
def test_the_reference_is_the_same_loss_by_plain_attention(data: Dataset) -> None:
    long = dataclasses.replace(TRAIN32, seq_len=512, tokens=4 * 512 * 2, heldout_tokens=4 * 512)
    program = Program(dataclasses.replace(MODEL, num_layers=2, max_seq_len=512), long)
    initialise(program.model, seed=0)
    batch = Batch.of(heldout_examples(program.objective, data, long), program.device)
    with torch.no_grad(), FusedCalls() as fused:
        found = program.loss(batch)
    with torch.no_grad(), FusedCalls() as plain:
        same = _reference(program, batch)
    assert (fused.count, plain.count) == (2, 0)
    torch.testing.assert_close((same.mean, same.nats_BT), (found.mean, found.nats_BT))


def test_both_forms_are_timed(data: Dataset) -> None:
    program = Program(MODEL, TRAIN32)
    initialise(program.model, seed=0)
    found = make_probe("reference_time", {"steps": 2}).at_end(program, data, TRAIN32, seed=0)
    assert found["fused_seconds"] > 0 and found["reference_seconds"] > 0
    assert found["ratio"] == found["reference_seconds"] / found["fused_seconds"]
    assert (found["steps"], found["compiled"]) == (2, False)


def test_as_run_knows_that_no_position_acts_in_cross_attention() -> None:
    model = dataclasses.replace(
        MODEL, architecture="encoder_decoder", vocab_size=3000, max_seq_len=16, position="shaw"
    )
    layers = as_run(Program(model, TRAIN32), seq_len=8192)["attention"]
    assert [layer["backend"] for layer in layers] == ["plain", "plain", "sdpa"]
