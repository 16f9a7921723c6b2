"""`paribus bench norm`: a norm forward and backward, ours against torch's own and `transformers`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from paribus import registry
from paribus.bench.contender import DTYPES, Case, Contender, Kind, Suite, place
from paribus.bench.suites.products import backward_of


def contenders(options: Mapping[str, Any]) -> list[Contender]:
    """RMSNorm and LayerNorm, each compiled and eager; the floor copies the input forward and backward."""
    d_model, tokens, dtype, device = options["d_model"], options["tokens"], DTYPES[options["dtype"]], place()

    def case(make: Callable[[], nn.Module], *, compiled: bool) -> Callable[[], Case]:
        def build() -> Case:
            module = make().to(device, dtype)
            form = torch.compile(module, fullgraph=True, dynamic=False) if compiled else module
            x = torch.randn(tokens, d_model, dtype=dtype, device=device, requires_grad=True)
            dy = torch.randn_like(x)
            leaves = [x, *module.parameters()]
            return Case(step=backward_of(lambda: form(x), dy, leaves), forward=lambda: form(x), owned=leaves)

        return build

    def copies() -> Case:
        x, y = (torch.randn(tokens, d_model, dtype=dtype, device=device) for _ in range(2))

        def run() -> Tensor:
            y.copy_(x)
            return x.copy_(y)

        return Case(step=run)

    def transformers() -> nn.Module:
        from transformers.models.llama.modeling_llama import LlamaRMSNorm

        return LlamaRMSNorm(d_model)

    made: list[tuple[str, Kind, Callable[[], nn.Module], bool]] = [
        ("ours", "ours", lambda: registry.get("norm", "rmsnorm").build(d_model=d_model), True),
        ("ours again", "ours", lambda: registry.get("norm", "rmsnorm").build(d_model=d_model), True),
        ("ours, eager", "ours", lambda: registry.get("norm", "rmsnorm").build(d_model=d_model), False),
        ("torch.nn.RMSNorm, compiled", "peer", lambda: nn.RMSNorm(d_model), True),
        ("torch.nn.RMSNorm, eager", "peer", lambda: nn.RMSNorm(d_model), False),
        ("transformers LlamaRMSNorm, compiled", "peer", transformers, True),
        ("ours, layernorm", "ours", lambda: registry.get("norm", "layernorm").build(d_model=d_model), True),
        ("torch.nn.LayerNorm, compiled", "peer", lambda: nn.LayerNorm(d_model), True),
    ]
    return [
        Contender(name="two copies of the input", kind="floor", make=copies),
        *(Contender(name=name, kind=kind, make=case(make, compiled=on)) for name, kind, make, on in made),
    ]


SUITE = Suite(
    name="norm",
    summary="a norm forward and backward; the floor copies its input twice",
    shapes={"1024": {"d_model": 1024, "tokens": 8192, "dtype": "auto"}},
    contenders=contenders,
    tokens=lambda options: options["tokens"],
)
