"""What is checked of a part, by slot. Each function builds the part at small odd sizes and compares.

A part of a user's own has no oracle: `find` gives None for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from paribus import oracles, registry
from paribus.model.config import ModelConfig
from paribus.model.transformer import Transformer
from paribus.ops.attention import Backend, Mask
from paribus.oracles import Array, Weights
from paribus.parts.context import Context
from paribus.parts.norm.batchnorm import BatchNorm
from paribus.parts.norm.layernorm import LayerNorm
from paribus.parts.position.base import Position
from paribus.parts.residual.base import Depth, Residual
from paribus.verify.comparison import FLOAT32_INSIDE, Check, Oracle, Setting, compare

_D, _F, _H, _K, _T = 6, 10, 4, 6, 7  # no two that could be mistaken for each other in one product
_MAX = 5  # shorter than the input, so that what changes past the trained length is seen


@dataclass(frozen=True, kw_only=True)
class _Case:
    """One comparison to make: a module, how it is run, and the oracle of that."""

    what: str
    module: nn.Module
    run: Callable[[Tensor], Tensor]
    oracle: Oracle
    shape: tuple[int, ...]
    least_bound: float = 0.0
    has_corners: bool = False


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


def _activation(card: registry.Card, setting: Setting) -> Iterator[_Case]:
    module = setting.place(card.build(width=_F)).eval()
    inputs: Any = getattr(module, "inputs", 1)
    oracle = oracles.ACTIVATION[card.name]
    yield _Case(what="", module=module, run=module, oracle=oracle, shape=(_T, inputs * _F))


def _ffn(card: registry.Card, setting: Setting) -> Iterator[_Case]:
    oracle = oracles.FFN_LAYER[card.name]
    for bias in (False, True):
        options = {"bias": bias} if "bias" in card.allowed_options() else {}
        if bias and not options:
            continue
        module = setting.place(card.build(d_model=_D, d_ff=_F, **options)).eval()
        yield _Case(
            what="with bias: " if bias else "",
            module=module,
            run=module,
            oracle=oracle,
            shape=(2, _T, _D),
            has_corners=True,
        )


def _norm(card: registry.Card, setting: Setting) -> Iterator[_Case]:
    module = setting.place(card.build(d_model=_D))
    oracle = oracles.NORM[card.name]
    yield _Case(what="", module=module, run=module, oracle=oracle, shape=(2, _T, _D))
    if isinstance(module, BatchNorm):
        scored = setting.place(card.build(d_model=_D)).eval()
        assert isinstance(scored, BatchNorm)
        with torch.no_grad():
            scored.running_mean.fill_(0.25)
            scored.running_var.fill_(2.0)
        running = {"running_mean": np.full(_D, 0.25), "running_var": np.full(_D, 2.0)}
        yield _Case(
            what="in scoring: ",
            module=scored,
            run=scored,
            oracle=lambda w, x: oracles.batchnorm_running({**w, **running}, x),
            shape=(2, _T, _D),
        )


def _residual(card: registry.Card, setting: Setting) -> Iterator[_Case]:
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
        module = card.build(sublayers=names, depth=depth, norm=lambda: LayerNorm(d_model=_D))
        assert isinstance(module, Residual)
        module = setting.place(module)
        maps = {name: setting.tensor(_D, _D, seed=20 + index) / 2 for index, name in enumerate(names)}
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
        yield _Case(what=where, module=module, run=run, oracle=oracle, shape=(2, _T, _D))


def _tanh_of(matrix: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda x: torch.tanh(x @ matrix)


def _np_tanh_of(matrix: Array) -> Callable[[Array], Array]:
    return lambda x: np.tanh(x @ matrix)


def _position(card: registry.Card, setting: Setting) -> Iterator[_Case]:
    """Inside attention, where every place that an encoding acts on shows, and on the embeddings."""
    for causal in (True, False):
        if not causal and card.name == "xpos":
            continue  # refuses, as it must
        longest = _T if card.name == "learned" else _MAX
        sizes = {"d_model": _D, "head_dim": _K, "num_heads": _H, "max_seq_len": longest, "causal": causal}
        module = _Attending(card.build(**sizes), card=registry.get("attention", "mha"), backend="plain")
        yield _attending(card.name, setting, module, causal=causal, longest=longest)


def _attention(card: registry.Card, setting: Setting) -> Iterator[_Case]:
    none = registry.get("position", "none")
    options: dict[str, dict[str, Any]] = {
        "": {},
        "with a window, a cap and normed heads: ": {"window": 3, "softcap": 2.0, "qk_norm": "rmsnorm"},
        "with sinks and a bias: ": {"sinks": True, "bias": True},
    }
    for what, given in options.items():
        backends: tuple[Backend, ...] = ("plain", "sdpa")
        for backend in backends:
            if backend == "sdpa" and given:
                continue  # caps and sinks are the plain backend's
            sizes = {"d_model": _D, "head_dim": _K, "num_heads": _H}
            position = none.build(**sizes, max_seq_len=_T)
            module = _Attending(position, card=card, backend=backend, **given)
            case = _attending("none", setting, module, causal=True, longest=_T, **given)
            yield _Case(
                what=f"{backend}: {what}",
                module=case.module,
                run=case.run,
                oracle=case.oracle,
                shape=case.shape,
            )


class _Attending(nn.Module):
    """One attention layer with one position encoding around it."""

    def __init__(self, position: nn.Module, *, card: registry.Card, backend: Backend, **options: Any) -> None:
        super().__init__()
        assert isinstance(position, Position)
        self.position, self.backend = position, backend
        heads = {"num_kv_heads": 2} if card.name == "gqa" else {}
        self.attention = card.build(d_model=_D, num_heads=_H, head_dim=_K, **heads, **options)
        self.num_kv_heads = {"gqa": 2, "mqa": 1}.get(card.name, _H)

    def forward(self, x: Tensor) -> Tensor:
        places = torch.arange(x.shape[1], device=x.device)
        context = Context(
            position=self.position,
            state=self.position.state(places, places, length=x.shape[1]),
            mask=Mask(causal=self.position.causal),
            backend=self.backend,
        )
        return self.attention(self.position.embed(x, places), context)


def _attending(
    position: str, setting: Setting, module: _Attending, *, causal: bool, longest: int, **options: Any
) -> _Case:
    encoding = oracles.POSITION[position]
    kept = {name: options[name] for name in ("window", "softcap") if name in options}

    def oracle(w: Weights, x: Array) -> Array:
        of_position = oracles.under(w, "position.")
        if encoding.embed is not None:
            x = encoding.embed(of_position, x, np.arange(x.shape[1], dtype=float))
        return oracles.mha(
            oracles.under(w, "attention."),
            x,
            num_heads=_H,
            num_kv_heads=module.num_kv_heads,
            position=encoding,
            position_weights=of_position,
            max_seq_len=longest,
            causal=causal,
            **kept,
        )

    placed = setting.place(module)
    return _Case(
        what="causal: " if causal else "bidirectional: ",
        module=placed,
        run=placed,
        oracle=oracle,
        shape=(2, _T, _D),
        least_bound=FLOAT32_INSIDE,
    )


def _model(card: registry.Card, setting: Setting) -> Iterator[_Case]:
    """The head's logits of a whole default model, as a function of its parameters."""
    config = ModelConfig(
        vocab_size=11,
        d_model=12,
        d_ff=_F,
        num_layers=2,
        num_heads=3,
        max_seq_len=_T,
        architecture=card.name,  # type: ignore[arg-type]
    )
    model = setting.place(Transformer(config))
    ids = torch.randint(11, (2, _T), generator=torch.Generator().manual_seed(0))
    source = torch.randint(11, (2, _T - 2), generator=torch.Generator().manual_seed(1))
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
            max_seq_len=_T,
            architecture=config.architecture,
            source=source.numpy() if reads else None,
        )
        return logits * x

    yield _Case(what="", module=model, run=run, oracle=oracle, shape=(1, 1, 1), least_bound=least)


#: Cases of a part by slot; `model` stands for whole models, which are no slot of the registry.
CASES: Mapping[str, Callable[[registry.Card, Setting], Iterator[_Case]]] = {
    "activation": _activation,
    "ffn": _ffn,
    "norm": _norm,
    "residual": _residual,
    "position": _position,
    "attention": _attention,
    "model": _model,
}
