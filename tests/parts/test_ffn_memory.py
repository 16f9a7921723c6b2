"""A feed-forward layer keeps the bytes that its memory option says, and no others, run as it is and compiled."""

import pytest
import torch
from torch import Tensor, nn

from paribus import registry

from .comparison import build_ffn
from .keeping import GATED, MEMORIES, D, F, bytes_per_element, graph_bytes, inductor_bytes, saved_bytes

KEPT = {"keep": 1.0, "half": 0.5, "none": 0.0}
EVERY = pytest.mark.parametrize(("name", "memory"), MEMORIES)
#: Every gate as it comes, and layers that differ in more than a formula.
DAILY = [(name, "keep") for name in GATED]
DAILY += [(name, memory) for name in ("swiglu_learnable", "swish_learnable") for memory in ("half", "none")]
DAILY += [("softmax", "keep"), ("maxout", "none"), ("self_gate_gelu", "none")]


def build(name: str, memory: str) -> nn.Module:
    return registry.get("ffn", name).build(d_model=D, d_ff=F, memory=memory).eval()


def expected(name: str, memory: str, dtype: torch.dtype) -> float:
    return dtype.itemsize * (2 if name in GATED else 1) * KEPT[memory]


class Plain(nn.Module):
    """The usual code, which keeps every intermediate."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        gate, value, down = (self.layer.get_submodule(n) for n in ("gate", "value", "down"))
        return down(nn.functional.silu(gate(x)) * value(x))


@EVERY
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_what_is_saved_is_what_the_option_says(name: str, memory: str, dtype: torch.dtype) -> None:
    """4, 2 and 0 bytes of a gated layer in bf16; 2 and 0 of an ungated one."""
    assert bytes_per_element(saved_bytes, build(name, memory), dtype) == expected(name, memory, dtype)


@pytest.mark.usefixtures("fresh_compiler")
@pytest.mark.parametrize(
    ("name", "memory"),
    [key if key in DAILY else pytest.param(*key, marks=pytest.mark.slow) for key in MEMORIES],
)
def test_a_compiled_graph_hands_on_no_more(name: str, memory: str) -> None:
    kept = bytes_per_element(graph_bytes, build(name, memory), torch.bfloat16)
    assert kept == expected(name, memory, torch.bfloat16)


@pytest.mark.usefixtures("fresh_compiler")
@pytest.mark.parametrize(
    ("name", "memory"),
    [
        key if key == ("swiglu_learnable", "keep") else pytest.param(*key, marks=pytest.mark.slow)
        for key in MEMORIES
        if key in DAILY
    ],
)
def test_code_of_inductor_saves_no_more(name: str, memory: str) -> None:
    kept = bytes_per_element(inductor_bytes, build(name, memory), torch.bfloat16)
    assert kept == expected(name, memory, torch.bfloat16)


@pytest.mark.usefixtures("fresh_compiler")
def test_the_usual_code_keeps_twice_as_much_and_compiled_half_as_much_again() -> None:
    plain = Plain(build_ffn("swiglu", d_model=D, d_ff=F).float())
    plain.gate = plain.layer.gate
    assert bytes_per_element(saved_bytes, plain, torch.bfloat16) == 8
    assert bytes_per_element(graph_bytes, plain, torch.bfloat16) == 6
