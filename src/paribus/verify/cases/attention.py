"""Attention layers by both backends: every option, every mask, and reading an encoder's output."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from paribus import registry
from paribus.ops.attention import Backend
from paribus.registry import Card
from paribus.verify.bounds import LAYER
from paribus.verify.case import Case, Setting
from paribus.verify.cases.attending import Attending, B, D, H, K, S, T, oracle
from paribus.verify.cases.variants import Options, label, variants

#: Key and value heads by name; the names that there is an oracle of.
KEY_HEADS = {"mha": H, "gqa": H // 2, "mqa": 1}
_TRIED: tuple[Options, ...] = (
    {"window": 3},
    {"softcap": 2.0},
    {"sinks": True},
    {"bias": True},
    {"scale": 1.0},
    {"qk_norm": "rmsnorm"},
    {"bias": "qkv"},
    {"bias": "o"},
    {"clip": 2.4},  # near no query, key or value: rounding must not decide which is clipped
    {"qk_norm": "layernorm", "qk_norm_over": "width"},
    {"qk_norm": "rmsnorm", "qk_norm_over": "heads"},
    {"window": 3, "softcap": 2.0, "sinks": True, "bias": True, "qk_norm": "rmsnorm"},
)
_PLAIN_ONLY = {"softcap", "sinks"}


def cases(card: Card, setting: Setting) -> Iterator[Case]:
    """Each set of options in a causal layer, and then the masks."""
    for options in tried(card):
        yield _case(card, setting, label(options), options)
    yield _case(card, setting, "bidirectional", {}, causal=False)
    yield _case(card, setting, "bidirectional, window 3", {"window": 3}, causal=False)
    valid = torch.arange(T) < torch.tensor([[T], [T - 3]])
    yield _case(card, setting, "padding", {}, valid=valid)
    # Padding before the text: its own queries see no key at all.
    yield _case(card, setting, "padding in front", {}, valid=valid.flip(-1))
    document = torch.arange(T) // torch.tensor([[3], [4]])
    yield _case(card, setting, "documents", {}, document=document)
    memory_valid = torch.arange(S) < torch.tensor([[S], [S - 2]])
    yield _case(card, setting, "cross", {"cross": True}, memory_valid=memory_valid)


def tried(card: Card) -> Iterator[Options]:
    """The sets of options."""
    return variants(card, _TRIED)


def _case(
    card: Card,
    setting: Setting,
    name: str,
    options: Options,
    *,
    causal: bool = True,
    **masks: torch.Tensor,
) -> Case:
    heads = {"num_kv_heads": KEY_HEADS[card.name]} if card.name == "gqa" else {}
    sizes = {"d_model": D, "num_heads": H, "head_dim": K}
    position = registry.get("position", "none").build(**sizes, max_seq_len=T, causal=causal)
    module = Attending(position=position, attention=card.build(**sizes, **heads, **options))
    setting.place(module)
    on_device = {key: mask.to(setting.device) for key, mask in masks.items()}
    renamed = {"valid": "key_valid", "memory_valid": "key_valid", "document": "document"}
    exactly: dict[str, Any] = {renamed[key]: mask.numpy() for key, mask in masks.items()}
    if "cross" in options:
        on_device["memory"] = setting.tensor(B, S, D, seed=40)
        exactly["memory"] = on_device["memory"].cpu().double().numpy()
    backends: tuple[Backend, ...] = ("plain",) if options.keys() & _PLAIN_ONLY else ("plain", "sdpa")
    kept = {key: value for key, value in options.items() if key != "cross"}
    return Case(
        name=name,
        module=module,
        forms={backend: module.form(backend, **on_device) for backend in backends},
        oracle=oracle("none", num_kv_heads=KEY_HEADS[card.name], causal=causal, **kept, **exactly),
        x=setting.tensor(B, T, D, seed=3),
        bounds=LAYER,
    )
