"""Each slot's parts under torch.compile: whole graphs, the same output and gradients as without it.

Every part goes through the tracer and autograd's own graph (`aot_eager`, cheap); of each slot one part goes
through Inductor, whose generated code is what a training run executes.
"""

from typing import Any

import pytest
import torch
from torch import nn

from paribus import oracles, registry

from .attending import Attending
from .comparison import draw, tokens
from .running import MAKERS, PARTS, D, Run, T

pytestmark = pytest.mark.usefixtures("fresh_compiler")

#: What a default model is made of.
INDUCTOR = [
    ("activation", "silu"),
    ("ffn", "swiglu"),
    ("norm", "rmsnorm"),
    ("residual", "pre"),
    ("position", "rope"),
    ("attention", "mha"),
]


def assert_compiles(slot: str, name: str, *, backend: str, dtype: torch.dtype = torch.float32) -> None:
    run, module = MAKERS[slot](name)
    assert_same(run, module, backend=backend, dtype=dtype)


def assert_same(run: Run, module: nn.Module, *, backend: str, dtype: torch.dtype) -> None:
    draw(module)
    compiled = torch.compile(run, backend=backend, fullgraph=True)
    results = []
    for form in (run, compiled):
        x = tokens(2, T, D, dtype=dtype)
        y = form(x)
        results.append(
            [
                y.detach(),
                *torch.autograd.grad(
                    (y.float() * tokens(*y.shape, seed=4, dtype=torch.float32).detach()).sum(),
                    (x, *module.parameters()),
                    allow_unused=True,
                    materialize_grads=True,
                ),
            ]
        )
    for eager, traced in zip(*results, strict=True):
        assert eager.dtype == traced.dtype
        largest = eager.abs().max().item() if eager.numel() else 0.0  # what a sum of its terms is rounded at
        torch.testing.assert_close(traced, eager, rtol=1e-5, atol=1e-5 * max(largest, 1.0))


def test_every_slot_is_compiled() -> None:
    assert {slot for slot, _ in INDUCTOR} == set(registry.catalog()) == set(MAKERS)


#: Pointwise activations differ in a formula only: alone, and most of the layers over them, they are left to the
#: exhaustive run.
POINTWISE = [("ffn", name) for name in registry.catalog()["activation"] if name in oracles.POINTWISE]
RARE = {key for key in PARTS if key[0] == "activation"} | set(POINTWISE) - {("ffn", "gelu"), ("ffn", "relu2")}
DAILY = [pytest.param(*key, marks=pytest.mark.slow) if key in RARE else key for key in PARTS]


@pytest.mark.parametrize(("slot", "name"), DAILY)
def test_part_is_one_graph_with_the_same_gradients(slot: str, name: str) -> None:
    assert_compiles(slot, name, backend="aot_eager")


@pytest.mark.parametrize(
    "what", ["biases and a window", "normed heads", "a cap and sinks", "cross-attention"]
)
def test_options_of_attention_are_one_graph_too(what: str) -> None:
    options: dict[str, Any] = {
        "biases and a window": {"bias": True, "window": 2},
        "normed heads": {"qk_norm": "rmsnorm"},
        "a cap and sinks": {"softcap": 2.0, "sinks": True},
        "cross-attention": {"cross": True},
    }[what]
    layer = Attending("gqa", position="alibi", d_model=D, **options)
    memory = tokens(2, T + 1, D, seed=2, dtype=torch.float32).detach()
    valid = torch.arange(T) < torch.tensor([[T], [2]])
    given = {"memory": memory} if options.get("cross") else {"valid": valid, "document": valid.long()}
    assert_same(lambda x: layer(x, **given), layer, backend="aot_eager", dtype=torch.float32)


@pytest.mark.slow
@pytest.mark.parametrize(("slot", "name"), INDUCTOR)
def test_inductor_gives_the_same_output_and_gradients(slot: str, name: str) -> None:
    assert_compiles(slot, name, backend="inductor")


@pytest.mark.slow
@pytest.mark.parametrize(("slot", "name"), [part for part in PARTS if part not in INDUCTOR])
def test_every_other_part_through_inductor_too(slot: str, name: str) -> None:
    assert_compiles(slot, name, backend="inductor")


@pytest.mark.parametrize(("slot", "name"), [("activation", "rrelu"), ("ffn", "rrelu"), ("norm", "batchnorm")])
def test_training_mode_is_one_graph_too(slot: str, name: str) -> None:
    run, module = MAKERS[slot](name)
    module.train()
    x = tokens(2, T, D, dtype=torch.float32)
    y = torch.compile(run, backend="aot_eager", fullgraph=True)(x)
    y.sum().backward()
    assert x.grad is not None and x.grad.isfinite().all()
