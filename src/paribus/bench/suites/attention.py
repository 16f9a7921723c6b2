"""`paribus bench attention`: causal attention forward and backward, by each backend at a length.

This is the measured table behind `ops.attention.choose_backend`: run it at several lengths and read off where the
fused form begins to win.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from paribus.bench.contender import Case, Contender, Kind, Suite
from paribus.bench.suites.products import DTYPES, attention_products, place
from paribus.ops.attention import Backend, Mask, attend, choose_backend

Attention = Callable[[Tensor, Tensor, Tensor], Tensor]


def contenders(options: Mapping[str, Any]) -> list[Contender]:
    """The six bare products, each of our backends, and torch's fused kernel as it stands."""
    batch, heads, length, head_dim = (options[n] for n in ("batch_size", "num_heads", "seq_len", "head_dim"))
    dtype, device = DTYPES[options["dtype"]], place()

    def case(attention: Attention, *, compiled: bool = True) -> Callable[[], Case]:
        def flat(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return attention(q, k, v).transpose(1, 2).flatten(-2)

        def build() -> Case:
            form = torch.compile(flat, fullgraph=True, dynamic=False) if compiled else flat
            q, k, v = (
                torch.randn(batch, length, heads, head_dim, dtype=dtype, device=device)
                .transpose(1, 2)
                .detach()
                .requires_grad_()
                for _ in range(3)
            )
            gradient = torch.randn(batch, length, heads * head_dim, dtype=dtype, device=device)

            def step() -> None:
                form(q, k, v).backward(gradient)
                q.grad = k.grad = v.grad = None

            return Case(step=step, forward=lambda: form(q, k, v), owned=[q, k, v])

        return build

    def ours(backend: Backend) -> Attention:
        return lambda q, k, v: attend(q, k, v, mask=Mask(causal=True), scale=head_dim**-0.5, backend=backend)

    def fused(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)

    chosen = choose_backend(seq_len=length, device_type=device.type, dtype=dtype)
    made: list[tuple[str, Kind, str, Callable[[], Case]]] = [
        ("ours", "ours", f"takes {chosen}", case(ours(chosen))),
        ("ours again", "ours", "", case(ours(chosen))),
        ("ours, plain", "ours", "", case(ours("plain"))),
        ("ours, sdpa", "ours", "", case(ours("sdpa"))),
        ("ours, eager", "ours", f"takes {chosen}", case(ours(chosen), compiled=False)),
        ("scaled_dot_product_attention, compiled", "peer", "", case(fused)),
        ("scaled_dot_product_attention, eager", "peer", "", case(fused, compiled=False)),
    ]
    floor = Contender(
        name="bare products",
        kind="floor",
        note="over all keys, seen or not",
        make=lambda: Case(
            step=attention_products(
                batch_heads=batch * heads, length=length, head_dim=head_dim, dtype=dtype, device=device
            )
        ),
    )
    return [
        floor,
        *(Contender(name=name, kind=kind, note=note, make=make) for name, kind, note, make in made),
    ]


_SHAPE = {"batch_size": 8, "num_heads": 4, "seq_len": 256, "head_dim": 64, "dtype": "bfloat16"}
SUITE = Suite(
    name="attention",
    summary="causal attention forward and backward, by each backend",
    shapes={
        "256": _SHAPE,
        "128": _SHAPE | {"batch_size": 32, "seq_len": 128, "head_dim": 32},
        "512": _SHAPE | {"batch_size": 4, "num_heads": 8, "seq_len": 512},
        "1024": _SHAPE | {"batch_size": 2, "num_heads": 8, "seq_len": 1024},
        "2048": _SHAPE | {"batch_size": 1, "num_heads": 8, "seq_len": 2048},
    },
    contenders=contenders,
    tokens=lambda options: options["batch_size"] * options["seq_len"],
)
