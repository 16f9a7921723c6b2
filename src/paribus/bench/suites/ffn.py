"""`paribus bench ffn`: a gated feed-forward layer forward and backward, against the bare products of its matrices.

Three matrices, each with a product forward and two backward.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from paribus import registry
from paribus.bench.contender import DTYPES, Case, Contender, Missing, Suite, place
from paribus.bench.suites.products import backward_of, linear_products


class Plain(nn.Module):
    """The usual code: three linear layers, SiLU and a product."""

    def __init__(self, d_model: int, d_ff: int) -> None:
        super().__init__()
        self.gate = nn.Linear(d_model, d_ff, bias=False)
        self.value = nn.Linear(d_model, d_ff, bias=False)
        self.down = nn.Linear(d_ff, d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.silu(self.gate(x)) * self.value(x))


def contenders(options: Mapping[str, Any]) -> list[Contender]:
    """The bare products, ours and the usual code (eager and compiled), and other libraries' layers."""
    d_model, d_ff, tokens = options["d_model"], options["d_ff"], options["tokens"]
    dtype = DTYPES[options["dtype"]]
    device = place()

    def case(module: nn.Module, *, compiled: bool) -> Case:
        module = module.to(device, dtype)
        form: Callable[[Tensor], Tensor] = (
            torch.compile(module, fullgraph=True, dynamic=False) if compiled else module
        )
        x = torch.randn(tokens, d_model, dtype=dtype, device=device, requires_grad=True)
        dy = torch.randn(tokens, d_model, dtype=dtype, device=device)
        leaves = [x, *module.parameters()]
        return Case(step=backward_of(lambda: form(x), dy, leaves), forward=lambda: form(x), owned=leaves)

    def ours(memory: str | None = None) -> nn.Module:
        more = {"memory": memory} if memory else {}
        return registry.get("ffn", "swiglu").build(d_model=d_model, d_ff=d_ff, **more)

    def transformers() -> nn.Module:
        from transformers import LlamaConfig
        from transformers.models.llama.modeling_llama import LlamaMLP

        return LlamaMLP(LlamaConfig(hidden_size=d_model, intermediate_size=d_ff))

    def x_transformers() -> nn.Module:
        from x_transformers.x_transformers import FeedForward

        return FeedForward(d_model, mult=d_ff / d_model, glu=True, swish=True, no_bias=True)

    def litgpt() -> nn.Module:
        from litgpt.config import Config
        from litgpt.model import LLaMAMLP

        return LLaMAMLP(Config(n_embd=d_model, intermediate_size=d_ff, bias=False))

    def liger() -> nn.Module:
        if device.type != "cuda":
            raise Missing("Liger-Kernel needs a GPU")
        from liger_kernel.transformers.swiglu import LigerSwiGLUMLP
        from transformers import LlamaConfig

        return LigerSwiGLUMLP(LlamaConfig(hidden_size=d_model, intermediate_size=d_ff))

    def quack() -> nn.Module:
        if device.type != "cuda":
            raise Missing("QuACK needs a GPU")
        from quack.mlp import MLP

        return MLP(d_model, d_ff, activation="swiglu")

    shapes = [(tokens, d_model, d_ff), (tokens, d_model, d_ff), (tokens, d_ff, d_model)]
    made: list[tuple[str, Any, Callable[[], nn.Module], bool]] = [
        ("ours", "ours", ours, True),
        ("ours again", "ours", ours, True),
        ("ours, eager", "ours", ours, False),
        ("torch.compile of the usual code", "peer", lambda: Plain(d_model, d_ff), True),
        ("the usual code, eager", "peer", lambda: Plain(d_model, d_ff), False),
        ("transformers LlamaMLP, compiled", "peer", transformers, True),
        ("transformers LlamaMLP, eager", "peer", transformers, False),
        ("litgpt LLaMAMLP, compiled", "peer", litgpt, True),
        ("x-transformers FeedForward, compiled", "peer", x_transformers, True),
        ("Liger-Kernel SwiGLU", "peer", liger, False),
        ("QuACK MLP", "peer", quack, False),
    ]
    floor = Contender(
        name="bare products",
        kind="floor",
        make=lambda: Case(step=linear_products(shapes, dtype=dtype, device=device)),
    )
    return [
        floor,
        *(
            Contender(
                name=name,
                kind=kind,
                make=functools.partial(lambda make, on: case(make(), compiled=on), make, on),
            )
            for name, kind, make, on in made
        ),
    ]


SUITE = Suite(
    name="ffn",
    summary="a SwiGLU layer forward and backward",
    shapes={
        "512": {"d_model": 512, "d_ff": 1376, "tokens": 2048, "dtype": "auto"},
        "1024": {"d_model": 1024, "d_ff": 2752, "tokens": 2048, "dtype": "auto"},
        "2048": {"d_model": 2048, "d_ff": 5472, "tokens": 2048, "dtype": "auto"},
    },
    contenders=contenders,
    tokens=lambda options: options["tokens"],
    reference="bare products",
)
