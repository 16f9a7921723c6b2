"""Cases of position encodings and attention layers: either is tried inside a layer that has the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from paribus import oracles, registry
from paribus.ops.attention import Backend, Mask
from paribus.oracles import Array, Weights
from paribus.parts.context import Context
from paribus.parts.position.base import Position
from paribus.verify.case import TRAINED, Case, D, H, K, T
from paribus.verify.comparison import FLOAT32_INSIDE, Setting


def position_cases(card: registry.Card, setting: Setting) -> Iterator[Case]:
    """Inside attention, where every place that an encoding acts on shows, and on the embeddings."""
    for causal in (True, False):
        if not causal and card.name == "xpos":
            continue  # refuses, as it must
        longest = T if card.name == "learned" else TRAINED
        sizes = {"d_model": D, "head_dim": K, "num_heads": H, "max_seq_len": longest, "causal": causal}
        module = _Attending(card.build(**sizes), card=registry.get("attention", "mha"), backend="plain")
        yield _attending(card.name, setting, module, causal=causal, longest=longest)


def attention_cases(card: registry.Card, setting: Setting) -> Iterator[Case]:
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
            sizes = {"d_model": D, "head_dim": K, "num_heads": H}
            position = none.build(**sizes, max_seq_len=T)
            module = _Attending(position, card=card, backend=backend, **given)
            case = _attending("none", setting, module, causal=True, longest=T, **given)
            yield Case(
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
        self.attention = card.build(d_model=D, num_heads=H, head_dim=K, **heads, **options)
        self.num_kv_heads = {"gqa": 2, "mqa": 1}.get(card.name, H)

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
) -> Case:
    encoding = oracles.POSITION[position]
    kept = {name: options[name] for name in ("window", "softcap") if name in options}

    def oracle(w: Weights, x: Array) -> Array:
        of_position = oracles.under(w, "position.")
        if encoding.embed is not None:
            x = encoding.embed(of_position, x, np.arange(x.shape[1], dtype=float))
        return oracles.mha(
            oracles.under(w, "attention."),
            x,
            num_heads=H,
            num_kv_heads=module.num_kv_heads,
            position=encoding,
            position_weights=of_position,
            max_seq_len=longest,
            causal=causal,
            **kept,
        )

    placed = setting.place(module)
    return Case(
        what="causal: " if causal else "bidirectional: ",
        module=placed,
        run=placed,
        oracle=oracle,
        shape=(2, T, D),
        least_bound=FLOAT32_INSIDE,
    )
