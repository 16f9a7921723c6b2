"""What is checked of a part, by slot. Each function builds the part at small odd sizes and compares.

A part of a user's own has no oracle; `has_oracle` says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from paribus import oracles, registry
from paribus.model.config import ModelConfig
from paribus.model.transformer import Transformer
from paribus.oracles import Array, Weights
from paribus.parts.norm.batchnorm import BatchNorm
from paribus.parts.norm.layernorm import LayerNorm
from paribus.parts.residual.base import Depth, Residual
from paribus.verify.attending import attention_cases, position_cases
from paribus.verify.case import Case, D, F, T
from paribus.verify.comparison import Check, Setting, compare


def check(card: registry.Card, setting: Setting) -> list[Check]:
    """Every check of a part; one that raises is a failed check that says what was raised."""
    found: list[Check] = []
    try:
        for case in CASES[card.slot](card, setting):
            x = setting.tensor(*case.shape, seed=3)
            found += [
                Check(slot=card.slot, part=card.name, what=f"{case.what}{what}", error=error, bound=bound)
                for what, error, bound in compare(
                    case.run,
                    case.oracle,
                    x,
                    module=case.module,
                    setting=setting,
                    least_bound=case.least_bound,
                    has_corners=case.has_corners,
                )
            ]
    except Exception as error:  # noqa: BLE001 - whatever a broken installation raises is the finding
        last = (str(error).strip().splitlines() or ["no reason"])[0]
        reason = f"{type(error).__name__}: {last}"
        found.append(
            Check(slot=card.slot, part=card.name, what="runs", error=float("nan"), bound=0.0, reason=reason)
        )
    return found


def has_oracle(card: registry.Card) -> bool:
    """Whether there is anything to hold this part to."""
    tables: Mapping[str, Any] = {
        "activation": oracles.ACTIVATION,
        "ffn": oracles.FFN_LAYER,
        "norm": oracles.NORM,
        "residual": oracles.FINAL_NORM,
        "position": oracles.POSITION,
        "attention": ("mha", "gqa", "mqa"),
    }
    ours = card.factory.__module__.startswith("paribus.")
    return ours and card.name in tables.get(card.slot, ())


def _activation(card: registry.Card, setting: Setting) -> Iterator[Case]:
    module = setting.place(card.build(width=F)).eval()
    inputs: Any = getattr(module, "inputs", 1)
    oracle = oracles.ACTIVATION[card.name]
    yield Case(what="", module=module, run=module, oracle=oracle, shape=(T, inputs * F))


def _ffn(card: registry.Card, setting: Setting) -> Iterator[Case]:
    oracle = oracles.FFN_LAYER[card.name]
    for bias in (False, True):
        options = {"bias": bias} if "bias" in card.allowed_options() else {}
        if bias and not options:
            continue
        module = setting.place(card.build(d_model=D, d_ff=F, **options)).eval()
        yield Case(
            what="with bias: " if bias else "",
            module=module,
            run=module,
            oracle=oracle,
            shape=(2, T, D),
            has_corners=True,
        )


def _norm(card: registry.Card, setting: Setting) -> Iterator[Case]:
    module = setting.place(card.build(d_model=D))
    oracle = oracles.NORM[card.name]
    yield Case(what="", module=module, run=module, oracle=oracle, shape=(2, T, D))
    if isinstance(module, BatchNorm):
        scored = setting.place(card.build(d_model=D)).eval()
        assert isinstance(scored, BatchNorm)
        with torch.no_grad():
            scored.running_mean.fill_(0.25)
            scored.running_var.fill_(2.0)
        running = {"running_mean": np.full(D, 0.25), "running_var": np.full(D, 2.0)}
        yield Case(
            what="in scoring: ",
            module=scored,
            run=scored,
            oracle=lambda w, x: oracles.batchnorm_running({**w, **running}, x),
            shape=(2, T, D),
        )


def _residual(card: registry.Card, setting: Setting) -> Iterator[Case]:
    for stack, encoder, decoder in (
        ("decoder", 0, 3),
        ("encoder", 2, 0),
        ("encoder", 2, 3),
        ("decoder", 2, 3),
    ):
        crosses = stack == "decoder" and encoder > 0
        names = ("attention", "cross_attention", "ffn") if crosses else ("attention", "ffn")
        if crosses and card.name.startswith("parallel"):
            continue  # such a block has no cross-attention
        depth = Depth(stack=stack, encoder_layers=encoder, decoder_layers=decoder)  # type: ignore[arg-type]
        module = card.build(sublayers=names, depth=depth, norm=lambda: LayerNorm(d_model=D))
        assert isinstance(module, Residual)
        module = setting.place(module)
        maps = {name: setting.tensor(D, D, seed=20 + index) / 2 for index, name in enumerate(names)}
        arrays = {name: each.double().cpu().numpy() for name, each in maps.items()}

        def run(x: Tensor, module: nn.Module = module, maps: dict[str, Tensor] = maps) -> Tensor:
            return module(x, {name: _tanh_of(each) for name, each in maps.items()})

        def oracle(
            w: Weights,
            x: Array,
            arrays: dict[str, Array] = arrays,
            where: tuple[str, int, int] = (stack, encoder, decoder),
        ) -> Array:
            functions = {name: _np_tanh_of(each) for name, each in arrays.items()}
            return oracles.placement(
                card.name,
                w,
                x,
                functions,
                oracles.layernorm,
                stack=where[0],
                encoder_layers=where[1],
                decoder_layers=where[2],
            )

        where = f"{stack} of {encoder} + {decoder} layers: "
        yield Case(what=where, module=module, run=run, oracle=oracle, shape=(2, T, D))


def _tanh_of(matrix: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda x: torch.tanh(x @ matrix)


def _np_tanh_of(matrix: Array) -> Callable[[Array], Array]:
    return lambda x: np.tanh(x @ matrix)


def _model(card: registry.Card, setting: Setting) -> Iterator[Case]:
    """The head's logits of a whole default model, as a function of its parameters."""
    config = ModelConfig(
        vocab_size=11,
        d_model=12,
        d_ff=F,
        num_layers=2,
        num_heads=3,
        max_seq_len=T,
        architecture=card.name,  # type: ignore[arg-type]
    )
    model = setting.place(Transformer(config))
    ids = torch.randint(11, (2, T), generator=torch.Generator().manual_seed(0))
    source = torch.randint(11, (2, T - 2), generator=torch.Generator().manual_seed(1))
    on_device = (ids.to(setting.device), source.to(setting.device))
    reads = config.architecture == "encoder_decoder"

    # Roundings grow through layers; in half precision the small gradients of early ones drown in them.
    least = 0.5 if setting.dtype.itemsize == 2 else 1e-4

    def run(x: Tensor) -> Tensor:
        logits = model(on_device[0], dtype=setting.dtype, source_BS=on_device[1] if reads else None)
        return logits * x

    def oracle(w: Weights, x: Array) -> Array:
        logits = oracles.transformer(
            w,
            ids.numpy(),
            num_heads=3,
            num_layers=2,
            parts=config.part_names(),
            max_seq_len=T,
            architecture=config.architecture,
            source=source.numpy() if reads else None,
        )
        return logits * x

    yield Case(what="", module=model, run=run, oracle=oracle, shape=(1, 1, 1), least_bound=least)


#: Cases of a part by slot; `model` stands for whole models, which are no slot of the registry.
CASES: Mapping[str, Callable[[registry.Card, Setting], Iterator[Case]]] = {
    "activation": _activation,
    "ffn": _ffn,
    "norm": _norm,
    "residual": _residual,
    "position": position_cases,
    "attention": attention_cases,
    "model": _model,
}
