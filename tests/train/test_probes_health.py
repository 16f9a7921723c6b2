"""The health of layers whose state is known, because it was made so."""

import dataclasses
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from paribus import registry
from paribus.model.initialise import initialise
from paribus.ops.activations import activation as row
from paribus.parts.ffn.ungated import FeedForward
from paribus.parts.init import Roles, matrix_roles
from paribus.registry import Registry, part
from paribus.text.data import Dataset
from paribus.train.evaluation import heldout_examples
from paribus.train.probes import make_probe
from paribus.train.probes.saturation import Saturation, vanishes
from paribus.train.program import Batch, Program

from .conftest import MODEL, TRAIN

TRAIN32 = dataclasses.replace(TRAIN, dtype="float32")
TOKENS = 400


def made(ffn: Any, **changes: Any) -> Program:
    program = Program(dataclasses.replace(MODEL, ffn=ffn, num_layers=2, **changes), TRAIN32)
    initialise(program.model, seed=0)
    return program


def health(program: Program, data: Dataset, **options: Any) -> list[dict[str, Any]]:
    options = {"num_tokens": TOKENS, **options}
    return make_probe("health", options).at_end(program, data, TRAIN32, seed=0)["layers"]


@pytest.mark.parametrize(
    ("ffn", "matrix"), [("relu", "up"), ("gelu", "up"), ("swiglu", "gate"), ("reglu", "gate")]
)
def test_units_that_never_act_are_counted(ffn: str, matrix: str, data: Dataset) -> None:
    program = made(ffn)
    with torch.no_grad():
        program.model.decoder.blocks[1].ffn.get_submodule(matrix).weight[:4] = 0.0
    first, second = health(program, data)
    assert (first["dead_units"], second["dead_units"]) == (0.0, 0.25)


def test_a_unit_that_acts_once_is_not_dead(data: Dataset) -> None:
    program = made("relu")
    counted = []
    for share in (1.0, 0.5, 0.0):  # of units that are pushed below zero for all tokens but some
        with torch.no_grad():
            program.model.decoder.blocks[0].ffn.up.weight.zero_()
            active = round(16 * (1 - share))
            program.model.decoder.blocks[0].ffn.up.weight[:active, 0] = 1.0
        counted.append(health(program, data)[0]["dead_units"])
    assert counted == [1.0, 0.5, 0.0]


def test_a_unit_that_acts_in_an_early_batch_only_is_not_dead(data: Dataset) -> None:
    program = made({"name": "relu", "bias": True})
    config = dataclasses.replace(TRAIN32, heldout_tokens=TOKENS)
    batch = Batch.of(heldout_examples(program.objective, data, config), program.device)
    ffn = program.model.decoder.blocks[0].ffn
    before: list[Tensor] = []
    hook = ffn.up.register_forward_hook(lambda _m, _i, output: before.append(output.detach()))
    program.loss(batch)
    hook.remove()
    highest = before[0].flatten(0, 1).amax(0)
    with torch.no_grad():
        ffn.up.bias.copy_(-0.99 * highest)  # all but its largest pre-activations are pushed below zero
    assert (highest > 0).all()
    assert ((before[0][-1] + ffn.up.bias).amax(0) <= 0).any()  # nothing of some units in the last batch
    assert health(program, data)[0]["dead_units"] == 0.0


def test_the_threshold_counts_for_smooth_activations_and_not_for_relu(data: Dataset) -> None:
    for ffn, dead in (("gelu", 0.25), ("relu", 0.0)):
        program = made(ffn)
        with torch.no_grad():
            program.model.decoder.blocks[0].ffn.up.weight[:4] *= 1e-4
        assert health(program, data)[0]["dead_units"] == dead


def test_saturated_gates_are_counted(data: Dataset) -> None:
    for factor, expected in ((1e6, 1.0), (1e-6, 0.0)):
        program = made("glu")
        with torch.no_grad():
            program.model.decoder.blocks[0].ffn.gate.weight.mul_(factor)
        assert health(program, data)[0]["gate_saturation"] == pytest.approx(expected, abs=1e-3)


def test_hidden_rms_and_gradient_norm_are_those_of_one_pass_over_the_text(data: Dataset) -> None:
    program = made("swiglu")
    found = health(program, data)
    config = dataclasses.replace(TRAIN32, heldout_tokens=TOKENS)
    batch = Batch.of(heldout_examples(program.objective, data, config), program.device)
    assert len(batch.targets_BT) > TRAIN32.batch_size  # several batches, of which the last is not full
    ffn = program.model.decoder.blocks[1].ffn
    entered: list[Tensor] = []
    hook = ffn.register_forward_hook(lambda _m, inputs, _o: entered.append(inputs[0]))
    loss = program.loss(batch)
    hook.remove()
    (loss.mean * program.scored_per_step / batch.targets_BT.numel()).backward()
    with torch.no_grad():
        hidden = F.silu(ffn.gate(entered[0])) * ffn.value(entered[0])
    norm = math.sqrt(sum(float(p.grad.square().sum()) for p in ffn.parameters()))
    assert found[1]["hidden_rms"] == pytest.approx(float(hidden.square().mean().sqrt()), rel=1e-5)
    assert found[1]["grad_norm"] == pytest.approx(norm, rel=1e-4)


def test_a_model_that_diverged_has_no_dead_units_but_none(data: Dataset) -> None:
    for ffn in ("relu", "swiglu"):
        program = made(ffn)
        with torch.no_grad():
            program.model.embedding.weight.fill_(torch.nan)
        found = health(program, data)[0]
        assert (found["dead_units"], found["hidden_rms"], found["grad_norm"]) == (None, None, None)


class _Own(nn.Module):
    """A user's layer: plain torch, and names of its own."""

    def __init__(self, *, d_model: int, d_ff: int) -> None:
        super().__init__()
        self.sizes = (d_model, d_ff)
        self.first, self.last = nn.Linear(d_model, d_ff, bias=False), nn.Linear(d_ff, d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.first(x)))

    def roles(self) -> Roles:
        d_model, d_ff = self.sizes
        return matrix_roles(d_model=d_model, d_hidden=d_ff, inputs=("first",), outputs=("last",), bias=False)


class _Unseen(_Own):
    """Its products are written in another way than `linear`."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x @ self.first.weight.T) @ self.last.weight.T


class _Doubled(FeedForward):
    """It has our names, and its activation is not what they say."""

    def forward(self, x: Tensor) -> Tensor:
        return self.down(2 * self.activation(self.up(x)))


def test_a_users_layer_is_seen_by_the_matrix_that_writes_to_the_stream(
    own_registry: Registry, data: Dataset
) -> None:
    part("ffn", "own", formula="x", paper="here")(_Own)
    program = made("own")
    with torch.no_grad():
        program.model.decoder.blocks[0].ffn.first.weight[:4] = 0.0
    first, second = health(program, data)
    assert (first["dead_units"], first["gate_saturation"]) == (0.25, None)
    assert second["dead_units"] == 0.0
    assert first["hidden_rms"] > 0 and first["grad_norm"] > 0


def test_what_cannot_be_seen_is_none(own_registry: Registry, data: Dataset) -> None:
    part("ffn", "unseen", formula="x", paper="here")(_Unseen)
    found = health(made("unseen"), data)[0]
    assert (found["dead_units"], found["gate_saturation"], found["hidden_rms"]) == (None, None, None)
    assert found["grad_norm"] > 0


@pytest.mark.parametrize("name", ["doubled", "swiglu_clamped"])
def test_a_gate_that_does_not_explain_the_hidden_vector_is_not_believed(
    name: str, own_registry: Registry, data: Dataset
) -> None:
    part("ffn", "doubled", formula="x", paper="here")(_Doubled)
    found = health(made(name), data)[0]
    assert found["gate_saturation"] is None
    assert found["dead_units"] == 0.0 and found["hidden_rms"] > 0


@pytest.mark.parametrize("ffn", registry.catalog()["ffn"])
def test_every_layer_is_examined(ffn: str, data: Dataset) -> None:
    for found in health(made(ffn), data):
        assert found["grad_norm"] > 0
        assert 0 <= found["dead_units"] <= 1
        assert found["hidden_rms"] is None if ffn.startswith("self_gate") else found["hidden_rms"] > 0
        assert found["gate_saturation"] is None or 0 <= found["gate_saturation"] <= 1


def built(name: str, width: int = 5) -> nn.Module:
    return registry.get("activation", name).build(width=width)


@pytest.mark.parametrize(
    "name", ["identity", "relu2", "polyrelu", "xielu", "softmax", "polynorm", "maxout", "rrelu"]
)
def test_saturation_has_no_meaning_for(name: str) -> None:
    """Straight lines, derivatives that grow for ever, and features that act on each other."""
    assert Saturation.of(built(name), width=5) is None


@pytest.mark.parametrize(
    ("name", "largest"),
    [("relu", 1.0), ("gelu", 1.128904), ("silu", 1.099839), ("softplus", 1.0), ("elu", 1.0)],
)
def test_saturated_is_where_the_derivative_is_under_a_hundredth_of_the_largest(
    name: str, largest: float
) -> None:
    x = torch.linspace(-12, 12, 5005).reshape(-1, 5)
    saturation = Saturation.of(built(name), width=5)
    assert saturation is not None
    assert saturation.count(x) == int((row(name).first(x).abs() < 0.01 * largest).sum())


@pytest.mark.parametrize(
    ("name", "low", "high"), [("sigmoid", 0, 1), ("tanh", -1, 1), ("hardtanh", -1, 1), ("relu6", 0, 6)]
)
def test_between_two_limits_it_is_where_the_output_is_within_a_hundredth_of_one(
    name: str, low: float, high: float
) -> None:
    x = torch.linspace(-12, 12, 5005).reshape(-1, 5)
    saturation = Saturation.of(built(name), width=5)
    assert saturation is not None
    value, margin = row(name).value(x), 0.01 * (high - low)
    assert saturation.count(x) == int(((value < low + margin) | (value > high - margin)).sum())


def test_a_learned_activation_is_judged_as_it_is_now() -> None:
    swish = registry.get("activation", "swish").build(width=3, learnable=True, per="channel")
    x = torch.full((1, 3), -4.0)
    counts = []
    for betas in ([0.1, 0.1, 0.1], [0.1, 3.0, 3.0]):
        with torch.no_grad():
            swish.beta.copy_(torch.tensor(betas))
        saturation = Saturation.of(swish, width=3)
        assert saturation is not None
        counts.append(saturation.count(x))
    assert counts == [0, 2]


def test_only_activations_that_are_zero_on_an_interval_vanish() -> None:
    flat = {name for name in registry.catalog()["activation"] if vanishes(built(name, 1), width=1)}
    assert flat == {"relu", "relu2", "relu6", "hardsigmoid", "hardswish", "hardshrink", "softshrink"}
