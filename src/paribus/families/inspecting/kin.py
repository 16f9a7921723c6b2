"""What is known of model types that are not loaded, beyond what their configs say. Each row was read off the model's
own code; a type that is not here is described by its keys and tensors alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from paribus.families.inspecting.claims import Claim, Evidence

_Known = Mapping[tuple[str, str], Any]

#: Types that turn queries and keys only where a layer has a window.
_ROPE_IN_WINDOWS = ("afmoe", "cohere2")
_CLAMPED: _Known = {("ffn", "activation"): "gelu_quick"}
#: What the code of a type does whatever its keys say.
_DESPITE_KEYS: Mapping[str, _Known] = {
    "gpt_oss": _CLAMPED,
    "minimax_m3_vl_text": _CLAMPED,
    "phimoe": {("norm", "kind"): "layernorm", ("norm", "bias"): True},
}

_LIKE_LLAMA: _Known = {
    ("model", "architecture"): "decoder",
    ("ffn", "gated"): True,
    ("norm", "kind"): "rmsnorm",
    ("norm", "gain"): "w",
    ("placement", "residual"): "pre",
    ("placement", "norms_stand"): "before each sublayer",
    ("placement", "final_norm"): True,
    ("position", "kind"): "rope",
}
_PLAIN_QUERIES: _Known = {**_LIKE_LLAMA, ("attention", "qk_norm"): "none"}
_GEMMA_3: _Known = {
    **_LIKE_LLAMA,
    ("norm", "gain"): "1 + w",
    ("placement", "residual"): "sandwich",
    ("placement", "norms_stand"): "before each sublayer and on its output",
    ("attention", "qk_norm"): "one for all heads",
}
_OLMO_3: _Known = {
    **_LIKE_LLAMA,
    ("placement", "residual"): "post_sublayer",
    ("placement", "norms_stand"): "on the output of each sublayer, before it is added",
    ("attention", "qk_norm"): "over all heads at once",
}
KNOWN: Mapping[str, _Known] = {
    "cohere2": {
        **{key: value for key, value in _PLAIN_QUERIES.items() if key != ("position", "kind")},
        ("norm", "kind"): "layernorm",
        ("norm", "bias"): False,
        ("placement", "residual"): "parallel",
        ("placement", "norms_stand"): "one before attention and feed-forward layer, which run side by side",
        ("position", "layout"): "interleaved",
    },
    "deepseek_v2": _LIKE_LLAMA,
    "deepseek_v3": _LIKE_LLAMA,
    "gemma3_text": _GEMMA_3,
    "gpt_oss": {**_PLAIN_QUERIES, ("attention", "sinks"): True},
    "granite": _PLAIN_QUERIES,
    "llama4_text": _LIKE_LLAMA,
    "mixtral": _PLAIN_QUERIES,
    "olmo": {
        **_PLAIN_QUERIES,
        ("norm", "kind"): "layernorm",
        ("norm", "gain"): "none",
        ("norm", "bias"): False,
    },
    "olmo3": _OLMO_3,
    "olmoe": {**_LIKE_LLAMA, ("attention", "qk_norm"): "over all heads at once"},
    "qwen2_moe": {**_PLAIN_QUERIES, ("attention", "bias"): "qkv"},
    "qwen3_moe": {**_LIKE_LLAMA, ("attention", "qk_norm"): "one for all heads"},
    "starcoder2": {
        **_PLAIN_QUERIES,
        ("ffn", "gated"): False,
        ("norm", "kind"): "layernorm",
        ("norm", "bias"): True,
    },
}


def claims_of_kin(model_type: str | None, claims: Iterable[Claim]) -> list[Claim]:
    """What is known of this model type, some of it by what is claimed already."""
    found = _told(model_type, KNOWN.get(model_type or "", {}))
    if model_type in _ROPE_IN_WINDOWS:
        windows = [claim for claim in claims if claim.key == ("attention", "window")]
        found += [
            dataclasses.replace(
                each,
                section="position",
                name="kind",
                value="none" if each.value == "none" else "rope",
                sure="family",
                evidence=(Evidence(source="family", what=str(model_type)), *each.evidence),
            )
            for each in windows
        ]
    return found


def despite_keys(model_type: str | None) -> list[Claim]:
    """What is known of this model type and its keys do not say, or say otherwise."""
    return _told(model_type, _DESPITE_KEYS.get(model_type or "", {}))


def _told(model_type: str | None, known: _Known) -> list[Claim]:
    said = (Evidence(source="family", what=str(model_type)),)
    return [
        Claim(section=section, name=name, value=value, sure="family", evidence=said)
        for (section, name), value in known.items()
    ]
