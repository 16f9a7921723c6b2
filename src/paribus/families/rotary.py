"""RoPE in config files: `rope_theta` and `rope_scaling` of older ones, `rope_parameters` of newer ones.

Both are read. The older form is written, which every version of transformers reads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from paribus.errors import RequestError, nearest, shown
from paribus.families.keys import Keys
from paribus.families.meaning import ResolvedPart
from paribus.families.rules import Written
from paribus.model.config import ModelConfig, PartSpec
from paribus.parts.position.rope import RotaryPosition
from paribus.parts.position.rope_longrope import LongRotaryPosition
from paribus.parts.position.rope_scaling import DynamicRotaryPosition, LinearRotaryPosition
from paribus.parts.position.rope_yarn import Llama3RotaryPosition, YarnRotaryPosition

#: Scalings as config files call them, and by our names.
SCALINGS = {
    "linear": "linear",
    "dynamic": "dynamic",
    "llama3": "llama3",
    "yarn": "yarn",
    "longrope": "longrope",
    "su": "longrope",
}


@dataclass(frozen=True)
class Rope:
    """`rope` or one of its scalings.

    `base` and `fraction` are the family's defaults; a family without a `fraction` rotates all channels. `scalings` are
    those that the family knows. One with an `original` keeps the length before scaling beside the scaling, and that is
    its default.
    """

    base: float = 10000.0
    fraction: float | None = None
    fraction_key: str = "partial_rotary_factor"
    base_key: str = "rope_theta"
    layout: str = "half"
    length_key: str = "max_position_embeddings"
    scalings: Mapping[str, str] = field(default_factory=lambda: SCALINGS)
    original: int | None = None

    def read(self, keys: Keys) -> PartSpec:
        found: dict[str, Any] = {}
        # An older file's scaling counts where both stand there, as for transformers.
        where = "rope_scaling" if keys.get("rope_scaling", {}, dict) else "rope_parameters"
        keys.get(where, {}, dict)
        # The length before scaling says nothing where nothing is scaled.
        keys.known("rope_parameters", "original_max_position_embeddings")
        base = self._one(keys, f"{where}.rope_theta", self.base_key, self.base)
        fraction = self._one(keys, f"{where}.partial_rotary_factor", self.fraction_key, self.fraction or 1.0)
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
        kind = keys.get(f"{where}.rope_type", keys.get(f"{where}.type", "default"), str)
        if kind == "default":
            name = "rope_interleaved" if found.pop("layout", None) else "rope"
        else:
            name, options = self._scaling(_Scaling(keys, where, self.length_key, self.original), kind)
            found |= options
        return {"name": name, **found} if found else name

    def _one(self, keys: Keys, new: str, old: str, default: float) -> float:
        return keys.get(new, keys.get(old, default, float), float)

    def _scaling(self, scaling: _Scaling, kind: str) -> tuple[str, dict[str, Any]]:
        if kind not in self.scalings:
            raise RequestError(
                f"config.json: RoPE is scaled by {shown(kind, at_most=60)!r}, which is not known here; "
                f"{nearest(kind, self.scalings)}"
            )
        ours = self.scalings[kind]
        options = {name: value for name, value in _READERS[ours](scaling).items() if value is not None}
        return f"rope_{ours}", options

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
            if self.original is not None and "original_max_position_embeddings" in scaling:
                written["original_max_position_embeddings"] = scaling["original_max_position_embeddings"]
            written["rope_scaling"] = {"rope_type": kind, **scaling}
        return written


@dataclass(frozen=True)
class RotatedChannels:
    """Interleaved RoPE on the first channels of a head, whose number is a key (GPT-J)."""

    key: str
    default: int

    def read(self, keys: Keys) -> PartSpec:
        channels = keys.get(self.key, self.default, int)
        fraction = channels * keys.count("n_head") / keys.count("n_embd")
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
    usual: int | None

    def get(self, key: str, kind: type = float, default: Any = None) -> Any:
        return self.keys.get(f"{self.where}.{key}", default, kind)

    def required(self, key: str, kind: type = float) -> Any:
        return self.keys.get(f"{self.where}.{key}", kind=kind)

    @property
    def length(self) -> int:
        return self.keys.count(self.length_key)

    @property
    def original(self) -> int:
        """Tokens the model was trained on before it was scaled; beside the scaling it counts more than within."""
        key = "original_max_position_embeddings"
        if self.usual is not None or key in self.keys:
            return self.keys.count(key, self.usual)
        return self.keys.count(f"{self.where}.{key}", self.length)

    def divisors(self, key: str) -> list[float]:
        """A list of numbers."""
        given = self.required(key, list)
        for each in given:
            if not isinstance(each, (int, float)) or isinstance(each, bool) or not abs(each) < math.inf:
                raise RequestError(
                    f"config.json: {self.where}.{key} is a list of numbers; {shown(repr(each), at_most=60)} is in it"
                )
        return [float(each) for each in given]


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
        attention = _mscale(mscale, factor) / _mscale(all_dims, factor)
    return {
        "factor": factor,
        "original_length": original,
        "attention_factor": attention,
        "fast": scaling.get("beta_fast"),
        "slow": scaling.get("beta_slow"),
        "truncate": scaling.get("truncate", bool),
    }


def _mscale(mscale: float, factor: float) -> float:
    if mscale < 0:
        raise RequestError(f"config.json: mscale and mscale_all_dim of yarn are above zero; one is {mscale}")
    return 0.1 * mscale * math.log(factor) + 1


def _longrope(scaling: _Scaling) -> dict[str, Any]:
    original = scaling.original
    return {
        "short_factor": scaling.divisors("short_factor"),
        "long_factor": scaling.divisors("long_factor"),
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
