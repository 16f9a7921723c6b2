"""Each slot's parts under torch.compile: whole graphs, the same output and gradients as without it.

Every part goes through the tracer and autograd's own graph (`aot_eager`, cheap); of each slot one part goes
through Inductor, whose generated code is what a training run executes.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from paribus import registry
from paribus.ops.attention import Mask
from paribus.parts.context import Context

from .comparison import draw, tokens

pytestmark = pytest.mark.usefixtures("fresh_compiler")

D, T = 8, 4
Run = Callable[[Tensor], Tensor]


def ffn(name: str) -> tuple[Run, nn.Module]:
    layer = registry.get("ffn", name).build(d_model=D, d_ff=12)
    return layer, layer


def norm(name: str) -> tuple[Run, nn.Module]:
    layer = registry.get("norm", name).build(d_model=D)
    return layer, layer


def residual(name: str) -> tuple[Run, nn.Module]:
    layer = registry.get("residual", name).build(
        sublayers=("ffn",), num_layers=2, norm=lambda: registry.get("norm", "rmsnorm").build(d_model=D)
    )
    return lambda x: layer(x, {"ffn": torch.tanh}), layer


def position(name: str) -> tuple[Run, nn.Module]:
    layer = registry.get("position", name).build(d_model=D, head_dim=D, max_seq_len=T)

    def run(x: Tensor) -> Tensor:
        positions = torch.arange(T)
        heads = layer.embed(x, positions).unsqueeze(1)
        q, k = layer.rotate(heads, 2 * heads, layer.state(positions))
        return q + k**2

    return run, layer


def attention(name: str) -> tuple[Run, nn.Module]:
    layer = registry.get("attention", name).build(d_model=D, num_heads=2, head_dim=4)
    nope = registry.get("position", "none").build(d_model=D, head_dim=4, max_seq_len=T)
    context = Context(position=nope, state={}, mask=Mask(causal=True), backend="plain")
    return lambda x: layer(x, context), layer


MAKERS = {"ffn": ffn, "norm": norm, "residual": residual, "position": position, "attention": attention}
PARTS = [(slot, name) for slot, cards in registry.catalog().items() for name in cards]
#: What a default model is made of.
INDUCTOR = [
    ("ffn", "swiglu"),
    ("norm", "rmsnorm"),
    ("residual", "pre"),
    ("position", "rope"),
    ("attention", "mha"),
]


def assert_compiles(slot: str, name: str, *, backend: str, dtype: torch.dtype = torch.float32) -> None:
    run, module = MAKERS[slot](name)
    draw(module)
    compiled = torch.compile(run, backend=backend, fullgraph=True)
    results = []
    for form in (run, compiled):
        x = tokens(2, T, D, dtype=dtype)
        y = form(x)
        results.append([y.detach(), *torch.autograd.grad((y.float() ** 2).sum(), (x, *module.parameters()))])
    for eager, traced in zip(*results, strict=True):
        assert eager.dtype == traced.dtype
        torch.testing.assert_close(traced, eager, rtol=1e-5, atol=1e-5)


def test_every_slot_is_compiled() -> None:
    assert {slot for slot, _ in INDUCTOR} == set(registry.catalog()) == set(MAKERS)


@pytest.mark.parametrize(("slot", "name"), PARTS)
def test_part_is_one_graph_with_the_same_gradients(slot: str, name: str) -> None:
    assert_compiles(slot, name, backend="aot_eager")


@pytest.mark.parametrize(("slot", "name"), INDUCTOR)
def test_inductor_gives_the_same_output_and_gradients(slot: str, name: str) -> None:
    assert_compiles(slot, name, backend="inductor")
