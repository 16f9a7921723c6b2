"""`paribus bench generate`: greedy tokens after a prompt, ours beside `transformers` and the bare products.

Every contender has the same architecture (swiglu, rmsnorm, pre-norm, rope) at the same shape, random weights in the
compute dtype, and makes the same number of tokens. The floor reads every weight once for each token and does nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from paribus.bench.contender import DTYPES, Case, Contender, Suite, place
from paribus.bench.suites.llama import config_of, llama
from paribus.model.generate import generate
from paribus.model.initialise import build
from paribus.model.prepare import prepare
from paribus.ops.linear import Linear
from paribus.ops.packed import Packed


def contenders(options: Mapping[str, Any]) -> list[Contender]:
    """The products of each token, ours from a model as it is and in other forms, and `transformers`."""
    length = options["prompt_tokens"] + options["new_tokens"]
    config = config_of(options, max_seq_len=length, tied=True)
    dtype, device, new = DTYPES[options["dtype"]], place(), options["new_tokens"]
    draws = torch.Generator().manual_seed(0)
    size = (options["batch_size"], options["prompt_tokens"])
    ids = torch.randint(config.vocab_size, size, generator=draws).to(device)

    def ours(*, once: bool = False, copies: bool | None = None) -> Callable[[], Case]:
        def make() -> Case:
            model = build(config, seed=0).to(device, dtype)
            ready = prepare(model, dtype=dtype) if once else None

            def step() -> Tensor:
                if ready is not None:
                    return generate(ready, ids, max_new_tokens=new)
                return generate(model, ids, max_new_tokens=new, dtype=dtype, copies=copies)

            return Case(step=step)

        return make

    def transformers(**settings: Any) -> Callable[[], Case]:
        def make() -> Case:
            from transformers.generation import CompileConfig

            model = llama(config)
            model = model.to(device, dtype).eval()
            model.generation_config.eos_token_id = None
            model.generation_config.pad_token_id = 0
            seen = torch.ones_like(ids)
            if settings:
                compiling: Any = CompileConfig()
                compiling._compile_all_devices = True  # else it compiles on accelerators only
                settings["compile_config"] = compiling

            def step() -> Tensor:
                return model.generate(
                    ids, attention_mask=seen, max_new_tokens=new, do_sample=False, **settings
                )

            return Case(step=step)

        return make

    return [
        Contender(
            name="bare products", kind="floor", make=lambda: Case(step=_products(options, packed=False))
        ),
        Contender(
            name="bare products, packed",
            kind="floor",
            make=lambda: Case(step=_products(options, packed=True)),
        ),
        Contender(name="ours", kind="ours", make=ours()),
        Contender(name="ours again", kind="ours", make=ours()),
        Contender(name="ours, prepared once", kind="ours", make=ours(once=True)),
        Contender(name="ours, without copies", kind="ours", make=ours(copies=False)),
        Contender(name="transformers generate", kind="peer", note="its default", make=transformers()),
        Contender(
            name="transformers generate, static cache, compiled",
            kind="peer",
            make=transformers(cache_implementation="static"),
        ),
    ]


def _products(options: Mapping[str, Any], *, packed: bool) -> Callable[[], None]:
    """y = x Wᵀ of every weight, for every new token; layers that read the same are one."""
    d_model, d_ff, dtype, device = options["d_model"], options["d_ff"], DTYPES[options["dtype"]], place()
    block = [(d_model, 3 * d_model), (d_model, d_model), (d_model, 2 * d_ff), (d_ff, d_model)]
    shapes = [*block * options["num_layers"], (d_model, options["vocab_size"])]
    layers = [Linear(*shape).to(device, dtype) for shape in shapes]
    calls = [Packed([layer], dtype=dtype) if packed else layer for layer in layers]
    given = [torch.randn(options["batch_size"], n_in, dtype=dtype, device=device) for n_in, _ in shapes]

    def run() -> None:
        with torch.inference_mode():
            for _ in range(options["new_tokens"]):
                for call, x in zip(calls, given, strict=True):
                    call(x)

    return run


_5M = {
    "vocab_size": 8192,
    "d_model": 256,
    "d_ff": 688,
    "num_layers": 4,
    "num_heads": 4,
    "batch_size": 1,
    "prompt_tokens": 32,
    "new_tokens": 128,
    "dtype": "auto",
}
_98M = {**_5M, "vocab_size": 32000, "d_model": 768, "d_ff": 2048, "num_layers": 12, "num_heads": 12}
_SHAPES = {
    "98M": _98M,
    "98M-8": _98M | {"batch_size": 8},
    "5M": _5M,
    "5M-8": _5M | {"batch_size": 8},
}
SUITES = tuple(
    Suite(
        name=name,
        summary=summary,
        shapes=_SHAPES,
        contenders=contenders,
        tokens=lambda options: options["batch_size"] * options["new_tokens"],
        **more,
    )
    for name, summary, more in (
        ("generate", "greedy tokens after a prompt", {"reference": "bare products"}),
        (
            "generate-memory",
            "the peak memory of generating above the model at rest",
            {"reference": "transformers generate", "peak": True},
        ),
    )
)
