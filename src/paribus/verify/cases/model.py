"""Whole default models: the logits as a function of every parameter."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from paribus import oracles
from paribus.model.config import ModelConfig
from paribus.model.transformer import Transformer
from paribus.oracles import Array, Weights
from paribus.registry import Card
from paribus.verify.bounds import FLOAT32_INSIDE, MODEL
from paribus.verify.case import Case, Setting

ARCHITECTURES = ("decoder", "encoder", "encoder_decoder")
_B, _T, _S, _V = 2, 7, 5, 11
_TRANSFORM = "gelu"


def cards() -> list[Card]:
    """Whole models as if they were parts of a slot."""
    return [
        Card(slot="model", name=name, factory=Transformer, formula="", summary="a whole model", paper="")
        for name in ARCHITECTURES
    ]


def cases(card: Card, setting: Setting) -> Iterator[Case]:
    """One text as it is, and one with padding; then a head of more than a matrix, and segments where they may be."""
    sizes = {"vocab_size": _V, "d_model": 12, "d_ff": 10, "num_layers": 2, "num_heads": 3, "max_seq_len": _T}
    of_card: dict[str, Any] = {**sizes, "architecture": card.name}
    yield from _of(ModelConfig(**of_card), setting, ("", "padding"))
    of_card |= {"num_layers": 1, "head_bias": True, "head_transform": _TRANSFORM, "tie_embeddings": True}
    name = "head with bias and transform"
    if card.name != "encoder_decoder":
        of_card |= {"segments": 3}
        name += ", segments"
    yield from _of(ModelConfig(**of_card), setting, (name,))


def _of(config: ModelConfig, setting: Setting, names: tuple[str, ...]) -> Iterator[Case]:
    model: Any = setting.place(Transformer(config))
    ids: dict[str, Tensor] = {"ids_BT": _ids(_T, seed=0)}
    padding = {"valid_BT": torch.arange(_T) < torch.tensor([[_T], [_T - 3]])}
    if config.architecture == "encoder_decoder":
        ids["source_BS"] = _ids(_S, seed=1)
        padding["source_valid_BS"] = torch.arange(_S) < torch.tensor([[_S], [_S - 2]])
    for name in names:
        given = ids
        if name == "padding":
            given = {**ids, **padding}
        elif config.segments:
            given = {**ids, "segment_BT": torch.arange(_T) // torch.tensor([[3], [4]])}
        yield Case(
            name=name,
            module=model,
            forms={"": _form(model, given, setting)},
            oracle=_oracle(config, given),
            x=setting.tensor(
                _B, _T, _V, seed=3
            ),  # a factor on each logit: a model's own input has no gradient
            bounds=MODEL.at_least(FLOAT32_INSIDE),
        )


def _ids(length: int, *, seed: int) -> Tensor:
    return torch.randint(_V, (_B, length), generator=torch.Generator().manual_seed(seed))


def _form(model: Any, given: dict[str, Tensor], setting: Setting) -> Any:
    there = {name: each.to(setting.device) for name, each in given.items()}
    return lambda x: model(**there, dtype=setting.dtype) * x


def _oracle(config: ModelConfig, given: dict[str, Tensor]) -> Any:
    names = {
        "source_BS": "source_ids",
        "valid_BT": "valid",
        "source_valid_BS": "source_valid",
        "segment_BT": "segment",
    }
    ids = given["ids_BT"].numpy()
    arrays: dict[str, Any] = {names[name]: each.numpy() for name, each in given.items() if name in names}

    def oracle(w: Weights, x: Array) -> Array:
        logits = oracles.transformer(
            w,
            ids,
            num_heads=config.num_heads,
            num_layers=config.num_layers,
            parts=config.part_names(),
            max_seq_len=config.max_seq_len,
            architecture=config.architecture,
            head_transform=None if config.head_transform is None else _TRANSFORM,
            **arrays,
        )
        return logits * x

    return oracle
