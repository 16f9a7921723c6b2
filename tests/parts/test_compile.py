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
from paribus.parts.position.base import Position
from paribus.parts.residual.base import Depth

from .comparison import draw, tokens

pytestmark = pytest.mark.usefixtures("fresh_compiler")

D, T = 8, 4
Run = Callable[[Tensor], Tensor]


def activation(name: str) -> tuple[Run, nn.Module]:
    layer = registry.get("activation", name).build(width=D).eval()
    pieces = getattr(layer, "inputs", 1)
    return lambda x: layer(torch.cat([x] * pieces, dim=-1)), layer


def ffn(name: str) -> tuple[Run, nn.Module]:
    layer = registry.get("ffn", name).build(d_model=D, d_ff=12).eval()
    return layer, layer


def norm(name: str) -> tuple[Run, nn.Module]:
    layer = registry.get("norm", name).build(d_model=D)
    return layer, layer


def residual(name: str) -> tuple[Run, nn.Module]:
    layer = registry.get("residual", name).build(
        sublayers=("attention", "ffn"),
        depth=Depth(stack="decoder", encoder_layers=0, decoder_layers=2),
        norm=lambda: registry.get("norm", "rmsnorm").build(d_model=D),
    )
    return lambda x: layer(x, {"attention": torch.sin, "ffn": torch.tanh}), layer


class Attending(nn.Module):
    """An attention layer with a position encoding, in every place where the encoding acts."""

    def __init__(self, attention: nn.Module, position: Position) -> None:
        super().__init__()
        self.attention, self.position = attention, position

    def forward(self, x: Tensor) -> Tensor:
        places = torch.arange(T)
        state = self.position.state(places, places, length=T)
        context = Context(position=self.position, state=state, mask=Mask(causal=True), backend="plain")
        return self.attention(self.position.embed(x, places), context)


def position(name: str) -> tuple[Run, nn.Module]:
    sizes = {"d_model": D, "head_dim": 4, "num_heads": 2}
    encoding = registry.get("position", name).build(**sizes, max_seq_len=T)
    assert isinstance(encoding, Position)
    layer = Attending(registry.get("attention", "mha").build(**sizes), encoding)
    return layer, layer


def attention(name: str) -> tuple[Run, nn.Module]:
    groups = {"num_kv_heads": 1} if name == "gqa" else {}
    layer = registry.get("attention", name).build(d_model=D, num_heads=2, head_dim=4, **groups)
    nope = registry.get("position", "none").build(d_model=D, head_dim=4, num_heads=2, max_seq_len=T)
    assert isinstance(nope, Position)
    whole = Attending(layer, nope)
    return whole, whole


MAKERS = {
    "activation": activation,
    "ffn": ffn,
    "norm": norm,
    "residual": residual,
    "position": position,
    "attention": attention,
}
PARTS = [(slot, name) for slot, cards in registry.catalog().items() for name in cards]
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
                    (y.float() ** 2).sum(),
                    (x, *module.parameters()),
                    allow_unused=True,
                    materialize_grads=True,
                ),
            ]
        )
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
