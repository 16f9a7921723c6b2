"""Paribus: Transformer language models from named parts, and fair studies of which part is better.

The names below load on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "FeedForward": "paribus.parts.ffn.ungated",
    "GatedFeedForward": "paribus.parts.ffn.gated",
    "LayerNorm": "paribus.parts.norm.layernorm",
    "ModelConfig": "paribus.model.config",
    "MultiHeadAttention": "paribus.parts.attention.mha",
    "RMSNorm": "paribus.parts.norm.rmsnorm",
    "Transformer": "paribus.model.transformer",
    "build": "paribus.model.initialise",
    "diff": "paribus.families.inspecting.difference",
    "flops_per_token": "paribus.model.count",
    "generate": "paribus.model.generate",
    "inspect": "paribus.families.inspecting.inspection",
    "load": "paribus.families.loading",
    "num_params": "paribus.model.count",
    "part": "paribus.registry",
    "save": "paribus.families.saving",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'paribus' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
