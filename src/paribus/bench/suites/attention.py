"""`paribus bench attention`: causal attention forward and backward, by each backend at a length.

`make attention-table` runs it at several lengths and writes the table that `ops.attention.choose_backend` reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from paribus import registry
from paribus.bench.contender import DTYPES, Case, Contender, Kind, Missing, Suite, place
from paribus.bench.suites.products import attention_products
from paribus.errors import RequestError
from paribus.ops.attention import Backend, BiasAt, Mask, attend, choose_backend
from paribus.parts.position.base import Position

Attention = Callable[[Tensor, Tensor, Tensor], Tensor]


def contenders(options: Mapping[str, Any]) -> list[Contender]:
    """The six bare products, each of our backends, and torch's fused kernel as it stands.

    `bias` is a position encoding that adds one, or none; it is made from positions in each step, as a stack does.
    """
    batch, heads, length, head_dim = (options[n] for n in ("batch_size", "num_heads", "seq_len", "head_dim"))
    dtype, device = DTYPES[options["dtype"]], place()
    position = _position(options).to(device)
    biased = "bias" in position.acts_on

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
                position.zero_grad()

            owned = [q, k, v, *position.parameters()]
            return Case(step=step, forward=lambda: form(q, k, v), owned=owned)

        return build

    def ours(backend: Backend) -> Attention:
        def run(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            places = torch.arange(length, device=device)
            state = position.state(places, places, length=length)
            bias: Tensor | BiasAt | None = None
            if biased:
                bias = (
                    position.bias_at(state) if backend == "flex" else position.bias(state, consecutive=True)
                )
            mask = Mask(causal=True)
            return attend(q, k, v, mask=mask, scale=head_dim**-0.5, backend=backend, bias=bias)

        return run

    def flex() -> Case:
        if device.type == "cpu":
            raise Missing("flex_attention has a backward pass on GPUs only")
        return case(ours("flex"))()

    def fused(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if not biased:
            return F.scaled_dot_product_attention(q, k, v, is_causal=True)
        places = torch.arange(length, device=device)
        whole = position.bias(position.state(places, places, length=length), consecutive=True)
        assert whole is not None
        whole = whole.masked_fill(places[:, None] < places, float("-inf")).to(dtype)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=whole[None])

    chosen = choose_backend(seq_len=length, device_type=device.type, dtype=dtype, biased=biased)
    made: list[tuple[str, Kind, str, Callable[[], Case]]] = [
        ("ours", "ours", f"takes {chosen}", case(ours(chosen))),
        ("ours again", "ours", "", case(ours(chosen))),
        ("ours, plain", "ours", "", case(ours("plain"))),
        ("ours, sdpa", "ours", "", case(ours("sdpa"))),
        ("ours, flex", "ours", "", flex),
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


def _position(options: Mapping[str, Any]) -> Position:
    """The encoding whose bias is added; raises `RequestError` for one that adds none, but for `none`."""
    name, heads, head_dim = options["bias"], options["num_heads"], options["head_dim"]
    position = registry.get("position", name).build(
        d_model=heads * head_dim, head_dim=head_dim, num_heads=heads, max_seq_len=options["seq_len"]
    )
    assert isinstance(position, Position)
    if name != "none" and position.acts_on != {"bias"}:
        raise RequestError(f"bench attention's bias is none, alibi or t5; {name} adds none")
    return position


_SHAPE = {
    "batch_size": 8,
    "num_heads": 4,
    "seq_len": 256,
    "head_dim": 64,
    "dtype": "auto",
    "bias": "none",
}
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
