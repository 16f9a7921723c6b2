"""`paribus bench loss`: the head of a language model with its cross-entropy, forward and backward."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from paribus.bench.contender import DTYPES, Case, Contender, Suite, place
from paribus.bench.suites.products import linear_products
from paribus.ops.cross_entropy import linear_cross_entropy
from paribus.ops.training_cross_entropy import parts_that_fit, training_cross_entropy
from paribus.train.peak_memory import machine_bytes

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def contenders(options: Mapping[str, Any]) -> list[Contender]:
    """The three bare products, ours (in a training step, for nats of which more is made, eager) and the usual code."""
    d_model, vocab, tokens = options["d_model"], options["vocab_size"], options["tokens"]
    dtype, device = DTYPES[options["dtype"]], place()

    def case(loss: Loss, *, compiled: bool) -> Callable[[], Case]:
        def build() -> Case:
            form = torch.compile(loss, fullgraph=True, dynamic=False) if compiled else loss
            x = torch.randn(tokens, d_model, dtype=dtype, device=device, requires_grad=True)
            weight = (torch.randn(vocab, d_model, device=device) / d_model**0.5).requires_grad_()
            targets = torch.randint(vocab, (tokens,), device=device)

            def step() -> None:
                form(x, weight, targets).backward()
                x.grad = weight.grad = None

            return Case(step=step, forward=lambda: form(x, weight, targets), owned=[x, weight, targets])

        return build

    parts = parts_that_fit(tokens, vocab, dtype=dtype, memory_bytes=machine_bytes())

    def ours(x: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        return training_cross_entropy(x, weight, targets, divisor=tokens, parts=parts)[0]

    def any_loss(x: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        return linear_cross_entropy(x, weight, targets, reduction="mean")

    def usual(x: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(F.linear(x, weight.to(x.dtype)).float(), targets)

    products = [(tokens, d_model, vocab)]
    return [
        Contender(
            name="bare products",
            kind="floor",
            make=lambda: Case(step=linear_products(products, dtype=dtype, device=device)),
        ),
        Contender(name="ours", kind="ours", make=case(ours, compiled=True)),
        Contender(name="ours again", kind="ours", make=case(ours, compiled=True)),
        Contender(
            name="ours, logits kept",
            kind="ours",
            make=case(any_loss, compiled=True),
            note="any loss may be made of its nats",
        ),
        Contender(name="ours, eager", kind="ours", make=case(ours, compiled=False)),
        Contender(name="torch.compile of the usual code", kind="peer", make=case(usual, compiled=True)),
        Contender(name="the usual code, eager", kind="peer", make=case(usual, compiled=False)),
    ]


SUITE = Suite(
    name="loss",
    summary="a head of this vocabulary with its cross-entropy, forward and backward",
    shapes={
        "8192": {"d_model": 256, "vocab_size": 8192, "tokens": 2048, "dtype": "auto"},
        "32768": {"d_model": 256, "vocab_size": 32768, "tokens": 2048, "dtype": "auto"},
    },
    contenders=contenders,
    tokens=lambda options: options["tokens"],
    reference="bare products",
)
