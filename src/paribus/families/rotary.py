"""RoPE in config files: `rope_theta` and `rope_scaling` of older ones, `rope_parameters` of newer ones.

Both are read. The older form is written, which every version of transformers reads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from paribus.errors import RequestError, nearest
from paribus.families.keys import Keys
from paribus.families.meaning import ResolvedPart
from paribus.families.rules import Written
from paribus.model.config import ModelConfig, PartSpec
from paribus.parts.position.rope import RotaryPosition
from paribus.parts.position.rope_longrope import LongRotaryPosition
from paribus.parts.position.rope_scaling import DynamicRotaryPosition, LinearRotaryPosition
from paribus.parts.position.rope_yarn import Llama3RotaryPosition, YarnRotaryPosition


@dataclass(frozen=True)
class Rope:
    """`rope` or one of its scalings.

    `base` and `fraction` are the family's defaults; a family without a `fraction` rotates all channels.
    """

    base: float = 10000.0
    fraction: float | None = None
    fraction_key: str = "partial_rotary_factor"
    base_key: str = "rope_theta"
    layout: str = "half"
    length_key: str = "max_position_embeddings"

    def read(self, keys: Keys) -> PartSpec:
        keys.known("original_max_position_embeddings")  # it says nothing where nothing is scaled
        found: dict[str, Any] = {}
        base = self._one(keys, "rope_theta", self.base_key, self.base)
        fraction = self._one(keys, "partial_rotary_factor", self.fraction_key, self.fraction or 1.0)
        if self.fraction is None and fraction != 1:
            raise RequestError(
                f"config.json: {self.fraction_key} is {fraction}, and models of this family rotate all channels"
            )
        if base != 10000.0:
            found["base"] = float(base)
        if fraction != 1:
            found["fraction"] = float(fraction)
        if self.layout != "half":
            found["layout"] = self.layout
        where = "rope_parameters" if "rope_parameters" in keys else "rope_scaling"
        kind = keys.get(f"{where}.rope_type", keys.get(f"{where}.type", "default"), str)
        if kind in ("default", None):
            name = "rope_interleaved" if found.pop("layout", None) else "rope"
        else:
            name, options = self._scaling(_Scaling(keys, where, self.length_key), kind)
            found |= options
        return {"name": name, **found} if found else name

    def _one(self, keys: Keys, new: str, old: str, default: float) -> float:
        return keys.get(f"rope_parameters.{new}", keys.get(old, default, float), float)

    def _scaling(self, scaling: _Scaling, kind: str) -> tuple[str, dict[str, Any]]:
        if kind == "su":
            kind = "longrope"
        if kind not in _READERS:
            raise RequestError(
                f"config.json: RoPE is scaled by {kind!r}, which is not known here; {nearest(kind, _READERS)}"
            )
        options = {name: value for name, value in _READERS[kind](scaling).items() if value is not None}
        return f"rope_{kind}", options

    def write(self, value: tuple[ResolvedPart, ...], config: ModelConfig) -> Written:
        part, options = value[0].factory, value[0].options
        if not (isinstance(part, type) and issubclass(part, RotaryPosition)):
            return {}
        written: Written = {self.base_key: options["base"]}
        if options["fraction"] != (self.fraction or 1.0):
            written[self.fraction_key] = options["fraction"]
        if part in _WRITERS:
            kind, keys = _WRITERS[part]
            scaling = {theirs: options.get(ours) for theirs, ours in keys.items()}
            scaling = {key: _listed(each) for key, each in scaling.items() if each is not None}
            written["rope_scaling"] = {"rope_type": kind, **scaling}
        return written


@dataclass(frozen=True)
class RotatedChannels:
    """Interleaved RoPE on the first channels of a head, whose number is a key (GPT-J)."""

    key: str
    default: int

    def read(self, keys: Keys) -> PartSpec:
        channels = keys.get(self.key, self.default, int)
        heads, width = keys.get("n_head", kind=int), keys.get("n_embd", kind=int)
        fraction = channels * heads / width if width else 0.0
        return "rope_interleaved" if fraction == 1 else {"name": "rope_interleaved", "fraction": fraction}

    def write(self, value: tuple[ResolvedPart, ...], config: ModelConfig) -> Written:
        assert config.head_dim is not None
        return {self.key: round(value[0].options.get("fraction", 1) * config.head_dim)}


@dataclass(frozen=True)
class _Scaling:
    """The object that describes a scaling."""

    keys: Keys
    where: str
    length_key: str

    def get(self, key: str, kind: type = float, default: Any = None) -> Any:
        return self.keys.get(f"{self.where}.{key}", default, kind)

    def required(self, key: str, kind: type = float) -> Any:
        return self.keys.get(f"{self.where}.{key}", kind=kind)

    @property
    def length(self) -> int:
        return self.keys.get(self.length_key, kind=int)

    @property
    def original(self) -> int:
        """Tokens the model was trained on before it was scaled."""
        outside = self.keys.get("original_max_position_embeddings", None, int)
        return outside or self.get("original_max_position_embeddings", int, self.length)


def _linear(scaling: _Scaling) -> dict[str, Any]:
    return {"factor": scaling.required("factor")}


def _dynamic(scaling: _Scaling) -> dict[str, Any]:
    return {"factor": scaling.required("factor"), "original_length": scaling.length}


def _llama3(scaling: _Scaling) -> dict[str, Any]:
    return {
        "factor": scaling.required("factor"),
        "low": scaling.required("low_freq_factor"),
        "high": scaling.required("high_freq_factor"),
        "original_length": scaling.original,
    }


def _yarn(scaling: _Scaling) -> dict[str, Any]:
    original = scaling.original
    factor = scaling.get("factor") or scaling.length / original
    attention, mscale, all_dims = (
        scaling.get(key) for key in ("attention_factor", "mscale", "mscale_all_dim")
    )
    if attention is None and mscale and all_dims and factor > 1:
        attention = (0.1 * mscale * math.log(factor) + 1) / (0.1 * all_dims * math.log(factor) + 1)
    return {
        "factor": factor,
        "original_length": original,
        "attention_factor": attention,
        "fast": scaling.get("beta_fast"),
        "slow": scaling.get("beta_slow"),
        "truncate": scaling.get("truncate", bool),
    }


def _longrope(scaling: _Scaling) -> dict[str, Any]:
    original = scaling.original
    return {
        "short_factor": [float(each) for each in scaling.required("short_factor", list)],
        "long_factor": [float(each) for each in scaling.required("long_factor", list)],
        "factor": scaling.get("factor") or max(scaling.length / original, 1.0),
        "attention_factor": scaling.get("attention_factor"),
        "original_length": original,
    }


_READERS: Mapping[str, Callable[[_Scaling], dict[str, Any]]] = {
    "linear": _linear,
    "dynamic": _dynamic,
    "llama3": _llama3,
    "yarn": _yarn,
    "longrope": _longrope,
}
_ORIGINAL = {"factor": "factor", "original_max_position_embeddings": "original_length"}
#: What a scaling is called, and its keys by our options.
_WRITERS: Mapping[type, tuple[str, Mapping[str, str]]] = {
    LinearRotaryPosition: ("linear", {"factor": "factor"}),
    DynamicRotaryPosition: ("dynamic", {"factor": "factor"}),
    Llama3RotaryPosition: (
        "llama3",
        {**_ORIGINAL, "low_freq_factor": "low", "high_freq_factor": "high"},
    ),
    YarnRotaryPosition: (
        "yarn",
        {
            **_ORIGINAL,
            "attention_factor": "attention_factor",
            "beta_fast": "fast",
            "beta_slow": "slow",
            "truncate": "truncate",
        },
    ),
    LongRotaryPosition: (
        "longrope",
        {
            **_ORIGINAL,
            "attention_factor": "attention_factor",
            "short_factor": "short_factor",
            "long_factor": "long_factor",
        },
    ),
}


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
