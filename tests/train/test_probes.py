"""What all probes share: names and options, no trace left behind, plain data, nothing compiled anew."""

import dataclasses
import json
from typing import Any

import pytest
import torch

from paribus.errors import RequestError
from paribus.model.initialise import initialise
from paribus.text.data import Dataset, batch
from paribus.train.config import TrainConfig
from paribus.train.probes import PROBES, make_probe
from paribus.train.program import Batch, Program

from .conftest import MODEL, TRAIN

OPTIONS: dict[str, dict[str, Any]] = {
    "length": {"factors": [1, 2, 4], "num_tokens": 512, "scalings": ["rope_ntk"]},
    "health": {"num_tokens": 256},
    "layers": {},
    "generation": {"num_samples": 4},
    "reference_time": {"steps": 1},
}
EAGER32 = dataclasses.replace(TRAIN, dtype="float32")
#: A part that changes buffers, one that draws at random and one that adds to the loss would all show traces.
SENSITIVE = dataclasses.replace(MODEL, norm="batchnorm", ffn="rrelu", num_layers=2)


def measure(name: str, program: Program, data: Dataset, config: TrainConfig) -> list[dict[str, Any]]:
    probe = make_probe(name, OPTIONS[name])
    return [moment(program, data, config, seed=3) for moment in (probe.at_start, probe.at_end)]


def test_every_probe_is_tried_here() -> None:
    assert OPTIONS.keys() == PROBES.keys()


def test_an_unknown_probe_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(RequestError, match="no probe called 'lenght'; did you mean length"):
        make_probe("lenght", {})


def test_an_unknown_option_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(RequestError, match="'length' has no option 'factor'; did you mean factors"):
        make_probe("length", {"factor": [1]})


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("length", {"factors": [2, 3]}, "2 does not divide 3"),
        ("length", {"factors": []}, "list of whole numbers"),
        ("length", {"factors": [0, 1]}, "at least 1; it is 0"),
        ("length", {"modes": ["plane"]}, "no mode 'plane'; did you mean plain"),
        ("length", {"memory_gib": 0}, "above zero"),
        ("health", {"threshold": 2}, "between 0 and 1"),
        ("health", {"num_tokens": 1.5}, "whole number"),
        ("layers", {"num_tokens": 0}, "at least 1"),
        ("generation", {"max_n": 0}, "max_n must be"),
        ("generation", {"length": True}, "length must be"),
        ("reference_time", {"steps": "3"}, "steps must be"),
    ],
)
def test_impossible_options_are_refused(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        make_probe(name, options)


@pytest.mark.parametrize("name", PROBES)
def test_a_probe_leaves_everything_as_it_was(name: str, data: Dataset) -> None:
    program = Program(SENSITIVE, TRAIN)
    model = program.model
    initialise(model, seed=0)
    first, *others = model.parameters()
    first.grad = torch.full_like(first, 2.0)
    model.decoder.blocks[0].ffn.eval()
    torch.manual_seed(5)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    tensors = [id(each) for each in (*model.parameters(), *model.buffers())]
    modes, drawn = [module.training for module in model.modules()], torch.get_rng_state()
    windows = [block.attention.window for block in model.blocks()]

    measure(name, program, data, TRAIN)

    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert [id(each) for each in (*model.parameters(), *model.buffers())] == tensors
    assert first.grad is not None and torch.equal(first.grad, torch.full_like(first, 2.0))
    assert all(each.grad is None for each in others)
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), drawn)
    assert [block.attention.window for block in model.blocks()] == windows
    assert [type(position).__name__ for position in model.decoder.positions] == ["RotaryPosition"]
    hooks = ("_forward_hooks", "_forward_pre_hooks")
    assert not any(getattr(module, kind) for module in model.modules() for kind in hooks)


@pytest.mark.parametrize("name", [name for name in PROBES if name != "reference_time"])
def test_what_a_probe_finds_is_plain_data_and_always_the_same(name: str, data: Dataset) -> None:
    program = Program(SENSITIVE, TRAIN)
    initialise(program.model, seed=0)
    found = measure(name, program, data, TRAIN)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    torch.manual_seed(99)
    assert measure(name, program, data, TRAIN) == found


@pytest.mark.parametrize("name", PROBES)
def test_a_model_that_diverged_gives_plain_data_too(name: str, data: Dataset) -> None:
    program = Program(MODEL, TRAIN)
    initialise(program.model, seed=0)
    with torch.no_grad():
        program.model.embedding.weight.fill_(torch.nan)
    found = measure(name, program, data, TRAIN)
    assert (
        json.loads(json.dumps(found, allow_nan=False)) == found
    )  # neither nan nor anything that is not data


@pytest.mark.parametrize("name", ["length", "generation"])
def test_reading_from_left_to_right_is_asked_of_the_model_at_the_start(name: str, data: Dataset) -> None:
    program = Program(dataclasses.replace(MODEL, architecture="encoder", vocab_size=300), TRAIN)
    with pytest.raises(RequestError, match=f"the probe {name} needs a decoder.*encoder"):
        make_probe(name, OPTIONS[name]).at_start(program, data, TRAIN, seed=0)


@pytest.mark.parametrize("architecture", ["encoder", "encoder_decoder"])
@pytest.mark.parametrize("name", ["health", "layers", "reference_time"])
def test_the_others_take_every_architecture(name: str, architecture: Any, data: Dataset) -> None:
    model = dataclasses.replace(MODEL, architecture=architecture, vocab_size=300, max_seq_len=32)
    program = Program(model, TRAIN)
    initialise(program.model, seed=0)
    _, found = measure(name, program, data, TRAIN)
    assert json.dumps(found, allow_nan=False)
    if name == "health":
        assert len(found["layers"]) == len(list(program.model.blocks()))


@pytest.mark.slow
@pytest.mark.usefixtures("fresh_compiler")
def test_the_compiled_program_is_not_compiled_again(data: Dataset) -> None:
    program = Program(MODEL, dataclasses.replace(EAGER32, compile="on"))
    initialise(program.model, seed=0)
    windows = batch(data.train, seed=0, step=0, batch_size=TRAIN.batch_size, seq_len=TRAIN.seq_len)
    examples = program.objective.examples(windows, seed=0, step=0, tokenizer_vocab=257)
    rows = Batch.of(examples, program.device)

    def step() -> torch.Tensor:
        loss = program.loss(rows)
        loss.total.backward()
        program.model.zero_grad()
        return loss.nats_BT

    before = step()
    with torch.compiler.set_stance("fail_on_recompile"):
        for name in PROBES:
            measure(name, program, data, TRAIN)
        assert torch.equal(step(), before)
