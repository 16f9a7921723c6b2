"""Claims about a `ModelConfig`, which a known family or our own format gave: one row for each.

A row names the argument of `ModelConfig` that it speaks of, and what is in the names of those of its keys that say it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paribus.families.inspecting.claims import Claim, Evidence, Sure, by_layer, keys_as_evidence
from paribus.families.inspecting.kinds import kinds_of
from paribus.families.keys import KeyRead
from paribus.families.meaning import ResolvedPart, num_kv_heads, resolved
from paribus.model.config import ModelConfig
from paribus.model.meta import shapes_only

#: Where the norms of a placement stand.
_STANDS = {
    "pre": "before each sublayer",
    "post": "after each sum",
    "post_sublayer": "on the output of each sublayer, before it is added",
    "sandwich": "before each sublayer and on its output",
    "peri": "before each sublayer and on its output",
    "parallel": "one before attention and feed-forward layer, which run side by side",
    "parallel_separate": "one before attention, one before the feed-forward layer, which run side by side",
    "deepnorm": "after each sum",
    "rezero": "none",
}
_OF_ROPE = ("base", "fraction", "layout")


@dataclass(frozen=True)
class Row:
    """A claim by the argument it speaks of; `words` is a pattern for the keys that say it, None if no key does."""

    section: str
    name: str
    argument: str
    value: Callable[[ModelConfig, int], Any]
    words: str | None = ""


def _option(slot: str, name: str, absent: Any = "none") -> Callable[[ModelConfig, int], Any]:
    def read(config: ModelConfig, layer: int) -> Any:
        value = resolved(config, slot, layer).options.get(name)
        return absent if value is None else value

    return read


def _field(name: str, absent: Any = "none") -> Callable[[ModelConfig, int], Any]:
    def read(config: ModelConfig, layer: int) -> Any:
        value = getattr(config, name)
        return absent if value is None else value

    return read


def _activation(config: ModelConfig, layer: int) -> Any:
    options = resolved(config, "ffn", layer).options
    return options.get("gate") or options.get("activation") or resolved(config, "ffn", layer).name


def _gated(config: ModelConfig, layer: int) -> bool:
    return "gate" in resolved(config, "ffn", layer).options


def _gain(config: ModelConfig, layer: int) -> str:
    if "weight" not in _of_norm(config):
        return "none"
    return "1 + w" if resolved(config, "norm").options.get("offset") else "w"


def _norm_bias(config: ModelConfig, layer: int) -> bool:
    return "bias" in _of_norm(config)


def _of_norm(config: ModelConfig) -> set[str]:
    """The names of a norm's parameters: options do not say them of every norm."""
    with shapes_only():
        return {name for name, _ in config.build_norm().named_parameters()}


def _norm_kind(config: ModelConfig, layer: int) -> str:
    return _plain_norm(resolved(config, "norm"))


def _plain_norm(part: ResolvedPart) -> str:
    return {"rmsnorm_offset": "rmsnorm", "layernorm_offset": "layernorm"}.get(part.name, part.name)


def _at_end(which: str) -> Callable[[ModelConfig, int], bool]:
    return lambda config, layer: all(getattr(stack, which) for stack in config.stacks().values())


def _scaling(config: ModelConfig, layer: int) -> str:
    part = resolved(config, "position", layer)
    kind = part.name.removeprefix("rope").strip("_")
    if not part.name.startswith("rope") or kind in ("", "interleaved"):
        return "none"
    said = ", ".join(
        f"{name} {_brief(value)}"
        for name, value in part.options.items()
        if name not in _OF_ROPE and value is not None
    )
    return f"{kind} ({said})" if said else kind


def _brief(value: Any) -> str:
    if isinstance(value, tuple):
        return f"of {len(value)} numbers"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _position_kind(config: ModelConfig, layer: int) -> str:
    name = resolved(config, "position", layer).name
    return "rope" if name.startswith("rope") else name


def _qk_norm(config: ModelConfig, layer: int) -> str:
    options = resolved(config, "attention", layer).options
    if options.get("qk_norm") is None:
        return "none"
    over = {"head": "one for all heads", "heads": "one for each head", "width": "over all heads at once"}
    return over[options["qk_norm_over"]]


def _qk_norm_kind(config: ModelConfig, layer: int) -> str:
    norm = resolved(config, "attention", layer).options.get("qk_norm")
    return "none" if norm is None else _plain_norm(norm)


ROWS = (
    Row("model", "architecture", "architecture", _field("architecture")),
    Row("model", "layers", "num_layers", _field("num_layers")),
    Row("model", "encoder_layers", "encoder_layers", _field("encoder_layers")),
    Row("model", "d_model", "d_model", _field("d_model")),
    Row("model", "max_seq_len", "max_seq_len", _field("max_seq_len")),
    Row("ffn", "activation", "ffn", _activation, "act|proj"),
    Row("ffn", "gated", "ffn", _gated, "feed_forward_proj"),
    Row("ffn", "d_ff", "d_ff", _field("d_ff")),
    Row("ffn", "bias", "ffn", _option("ffn", "bias", False), "bias"),
    Row("ffn", "experts", "", lambda config, layer: "none"),
    Row("norm", "kind", "norm", _norm_kind, "rms"),
    Row("norm", "eps", "norm", _option("norm", "eps"), "eps"),
    Row("norm", "gain", "norm", _gain, None),
    Row("norm", "bias", "norm", _norm_bias, "bias"),
    Row(
        "placement",
        "residual",
        "residual",
        lambda config, layer: resolved(config, "residual").name,
    ),
    Row(
        "placement",
        "norms_stand",
        "residual",
        lambda config, layer: _STANDS.get(resolved(config, "residual").name, "where the part puts them"),
    ),
    Row("placement", "embedding_norm", "embedding_norm", _at_end("embedding_norm")),
    Row("placement", "final_norm", "final_norm", _at_end("final_norm")),
    Row("position", "kind", "position", _position_kind, "rope_layer|alibi"),
    Row("position", "base", "position", _option("position", "base"), "theta|base"),
    Row("position", "fraction", "position", _option("position", "fraction"), "partial_rotary|pct|rotary_dim"),
    Row("position", "layout", "position", _option("position", "layout"), None),
    Row("position", "scaling", "position", _scaling, r"type$|\.factor|original|freq|beta|mscale"),
    Row("attention", "kind", "num_kv_heads", lambda config, layer: config.part("attention", layer)[0].name),
    Row("attention", "heads", "num_heads", _field("num_heads")),
    Row("attention", "kv_heads", "num_kv_heads", lambda config, layer: num_kv_heads(config)),
    Row("attention", "head_dim", "head_dim", _field("head_dim")),
    Row("attention", "window", "attention", _option("attention", "window"), "window|layer_types"),
    Row("attention", "softcap", "attention", _option("attention", "softcap"), "softcap"),
    Row("attention", "scale", "attention", _option("attention", "scale"), "scal"),
    Row("attention", "qk_norm", "attention", _qk_norm, "norm$"),
    Row("attention", "qk_norm_kind", "attention", _qk_norm_kind, None),
    Row("attention", "bias", "attention", _option("attention", "bias", False), "bias"),
    Row("attention", "sinks", "attention", _option("attention", "sinks", False), "sink"),
    Row("attention", "clip", "attention", _option("attention", "clip"), "clip"),
    Row("head", "vocab_size", "vocab_size", _field("vocab_size")),
    Row("head", "tied", "tie_embeddings", _field("tie_embeddings")),
    Row("head", "bias", "head_bias", _field("head_bias")),
    Row("head", "transform", "head_transform", lambda config, layer: _named(config.head_transform)),
    Row("head", "embedding_scale", "embedding_scale", _field("embedding_scale")),
    Row("head", "logit_scale", "logit_scale", _field("logit_scale")),
    Row("head", "logit_softcap", "logit_softcap", _field("logit_softcap")),
    Row("head", "segments", "segments", _field("segments")),
)


def _named(spec: Any) -> Any:
    return "none" if spec is None else spec["name"] if isinstance(spec, Mapping) else spec


def claims_of(
    config: ModelConfig, evidence: Mapping[str, Sequence[KeyRead]], *, known_of: str, own: bool = False
) -> list[Claim]:
    """Every row's claim for a model; what no key says is known of the model type, `known_of`.

    In our `own` format a key is an argument, and says all that is claimed of it.
    """
    found = []
    kinds = kinds_of(config)
    for row in ROWS:
        if row.name == "encoder_layers" and config.architecture != "encoder_decoder":
            continue
        reads = [
            read
            for read in evidence.get(row.argument, ())
            if own
            or (
                row.words is not None
                and re.search(row.words, read.key)
                and not isinstance(read.value, Mapping)
            )
        ]
        rests_on = keys_as_evidence(reads) or (Evidence(source="family", what=known_of),)
        sure: Sure = "config" if rests_on[0].source == "config" else "family"
        values = [(row.value(config, layers[0]), layers) for layers in kinds]
        found += by_layer(row.section, row.name, values, sure, rests_on)
    return found
