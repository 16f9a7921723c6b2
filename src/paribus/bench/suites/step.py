"""`paribus bench step`, `study` and `memory`: a whole training step of one Llama, by us and by others.

Every contender has the same architecture (swiglu, rmsnorm, pre-norm, rope) at the same shape, compiled, with
float32 masters (in bfloat16 the others' by autocast), fused AdamW and clipping. `bf16 weights` are a mode of their
own: faster and less exact.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from paribus.bench.contender import DTYPES, Case, Contender, Suite, place
from paribus.bench.suites.llama import config_of, llama
from paribus.bench.suites.products import attention_products, linear_products
from paribus.model.config import ModelConfig
from paribus.model.initialise import initialise
from paribus.train.config import TrainConfig
from paribus.train.optimiser import descend, make_optimiser
from paribus.train.program import Batch, Program

_RATE, _CLIP = 1e-3, 1.0
_LARGE_VOCABULARY = 16_384


def contenders(options: Mapping[str, Any]) -> list[Contender]:
    """The bare products, ours twice, and the others in their default and their best modes."""
    config = config_of(options, max_seq_len=options["seq_len"], tied=options["tied"] == "yes")
    batch, length = options["batch_size"], options["seq_len"]
    dtype, device = DTYPES[options["dtype"]], place()
    ids = torch.randint(
        config.vocab_size, (batch, length + 1), generator=torch.Generator().manual_seed(0)
    ).to(device)
    inputs, targets = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()

    def floor() -> Case:
        return Case(step=_products(config, batch=batch, length=length, dtype=dtype, device=device))

    def ours(parts: int | None = None) -> Case:
        train = TrainConfig(
            tokens=100 * batch * length,
            batch_size=batch,
            seq_len=length,
            dtype=options["dtype"],
            compile="on",
        )
        program = Program(config, train)
        program.loss_parts = parts or program.loss_parts
        initialise(program.model, seed=0)
        examples = Batch(inputs_BT=inputs, targets_BT=targets)

        def loss() -> Tensor:
            return program.loss(examples).total

        optimiser = make_optimiser(program.model, train, peak_rate=_RATE)

        def step() -> None:
            loss().backward()
            descend(program.model.parameters(), optimiser, clip=_CLIP)

        return Case(step=step, forward=loss, owned=list(program.model.parameters()))

    def transformers(attention: str, *, masters: bool) -> Callable[[], Case]:
        def make() -> Case:
            model = llama(config, attn_implementation=attention, use_cache=False)
            model = model.to(device) if masters else model.to(device, dtype)
            compiled = torch.compile(model, dynamic=False)

            def loss() -> Tensor:
                with _autocast(device, dtype, enabled=masters):
                    # shift_labels: the model's own loss on these targets, without shifting them once more
                    return compiled(input_ids=inputs, labels=targets, shift_labels=targets).loss

            return _their_case(model, loss)

        return make

    def litgpt() -> Case:
        from litgpt.config import Config
        from litgpt.model import GPT

        model = GPT(
            Config(
                block_size=length,
                vocab_size=config.vocab_size,
                padded_vocab_size=config.vocab_size,
                n_layer=config.num_layers,
                n_head=config.num_heads,
                n_embd=config.d_model,
                rotary_percentage=1.0,
                parallel_residual=False,
                bias=False,
                norm_class_name="RMSNorm",
                mlp_class_name="LLaMAMLP",
                intermediate_size=config.d_ff,
            )
        ).to(device)
        if config.tie_embeddings:
            model.lm_head.weight = model.transformer.wte.weight
        return _cross_entropy_case(model, inputs, targets, dtype)

    def x_transformers() -> Case:
        from x_transformers import Decoder, TransformerWrapper

        model = TransformerWrapper(
            num_tokens=config.vocab_size,
            max_seq_len=length,
            tie_embedding=config.tie_embeddings,
            use_abs_pos_emb=False,
            attn_layers=Decoder(
                dim=config.d_model,
                depth=config.num_layers,
                heads=config.num_heads,
                attn_dim_head=config.head_dim,
                rotary_pos_emb=True,
                use_rmsnorm=True,
                ff_glu=True,
                ff_swish=True,
                ff_no_bias=True,
                ff_mult=config.d_ff / config.d_model,
                attn_flash=True,
            ),
        ).to(device)
        return _cross_entropy_case(model, inputs, targets, dtype)

    found = [
        Contender(name="bare products", kind="floor", make=floor),
        Contender(name="ours", kind="ours", make=ours),
        Contender(name="ours again", kind="ours", make=ours),
    ]
    if config.vocab_size >= _LARGE_VOCABULARY:
        whole = functools.partial(ours, parts=1)
        found.append(Contender(name="ours, all logits at once", kind="ours", make=whole))
    for masters in (True, False) if dtype == torch.bfloat16 else (True,):
        for attention in ("sdpa", "eager"):
            found.append(
                Contender(
                    name=f"transformers {attention}" + ("" if masters else ", bf16 weights"),
                    kind="peer",
                    make=transformers(attention, masters=masters),
                    note="its default" if masters and attention == "sdpa" else "",
                )
            )
    return [
        *found,
        Contender(name="litgpt", kind="peer", make=litgpt),
        Contender(name="x-transformers", kind="peer", make=x_transformers),
    ]


def _their_case(model: nn.Module, loss: Callable[[], Tensor]) -> Case:
    """A model of others with torch's optimiser and clipping, as they are trained."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=_RATE, fused=True)

    def step() -> None:
        loss().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), _CLIP)
        optimiser.step()
        optimiser.zero_grad()

    return Case(step=step, forward=loss, owned=list(model.parameters()))


def _autocast(device: torch.device, dtype: torch.dtype, *, enabled: bool = True) -> torch.autocast:
    """Products in `dtype`, of weights in float32."""
    wanted = enabled and dtype != torch.float32
    return torch.autocast(device.type, dtype=dtype if wanted else None, enabled=wanted)


def _cross_entropy_case(model: nn.Module, inputs: Tensor, targets: Tensor, dtype: torch.dtype) -> Case:
    """A model that gives logits, compiled together with its loss."""

    def with_loss() -> Tensor:
        return nn.functional.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())

    compiled = torch.compile(with_loss, dynamic=False)

    def loss() -> Tensor:
        with _autocast(inputs.device, dtype):
            return compiled()

    return _their_case(model, loss)


def _products(
    config: ModelConfig, *, batch: int, length: int, dtype: torch.dtype, device: torch.device
) -> Callable[[], None]:
    assert config.head_dim is not None
    rows = batch * length
    d_model, d_ff, layers = config.d_model, config.d_ff, config.num_layers
    width = config.num_heads * config.head_dim
    block = [(rows, d_model, 3 * width), (rows, width, d_model)]
    block += [(rows, d_model, d_ff), (rows, d_model, d_ff), (rows, d_ff, d_model)]
    linear = linear_products(
        [*block * layers, (rows, d_model, config.vocab_size)], dtype=dtype, device=device
    )
    attention = attention_products(
        batch_heads=batch * config.num_heads,
        length=length,
        head_dim=config.head_dim,
        layers=layers,
        dtype=dtype,
        device=device,
    )

    def run() -> None:
        linear()
        attention()

    return run


_STUDY = {
    "vocab_size": 257,
    "d_model": 128,
    "d_ff": 344,
    "num_layers": 4,
    "num_heads": 4,
    "batch_size": 32,
    "seq_len": 128,
    "tied": "yes",
    "dtype": "auto",
}
_SMALL = {**_STUDY, "vocab_size": 8192, "d_model": 256, "d_ff": 688, "batch_size": 8, "seq_len": 256}
SUITES = tuple(
    Suite(
        name=name,
        summary=summary,
        shapes=shapes,
        contenders=contenders,
        tokens=lambda options: options["batch_size"] * options["seq_len"],
        **more,
    )
    for name, summary, shapes, more in (
        (
            "step",
            "a training step of a 5 M model, on all cores",
            {"5M": _SMALL, "study": _STUDY, "32768": {**_SMALL, "vocab_size": 32768}},
            {},
        ),
        (
            "study",
            "a training step at a study's shape, one process a core",
            {"study": _STUDY},
            {"threads": 1},
        ),
        (
            "memory",
            "the peak memory of a training step above rest",
            {"32768": {**_SMALL, "vocab_size": 32768}},
            {"peak": True, "reference": "transformers sdpa"},
        ),
    )
)
