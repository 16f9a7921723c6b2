"""A model's anatomy at other sizes: the same parts, with what in them goes by a size made to fit the new ones.

Which sizes those are is worked out in `scaling`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from paribus import registry
from paribus.families.rules import pattern
from paribus.model.config import LAYERED, LayeredSpec, ModelConfig
from paribus.parts.position.rope_scaling import ScaledRotaryPosition

_OF_ROPE = ("base", "fraction", "layout")


def retold(original: ModelConfig, *, vocab_size: int, max_seq_len: int) -> dict[str, Any]:
    """The arguments of `original` for another vocabulary and texts of `max_seq_len` tokens.

    RoPE that was stretched past its trained length is plain again (base, fraction and layout stay), as the new model
    is trained from nothing. A window longer than `max_seq_len` keeps its share of the original's length: cut to
    `max_seq_len` itself it would hide nothing.
    """
    fields = original.to_dict()
    share = max_seq_len / original.max_seq_len

    def window(options: dict[str, Any]) -> dict[str, Any]:
        given = options.get("window")
        if given is None or given <= max_seq_len:
            return options
        return options | {"window": min(max_seq_len, max(1, round(given * share)))}

    return fields | {
        "vocab_size": vocab_size,
        "max_seq_len": max_seq_len,
        "attention": _each(original.attention, window),
        "position": _each(original.position, _unstretched),
    }


def _unstretched(options: dict[str, Any]) -> dict[str, Any]:
    factory = registry.get("position", options["name"]).factory
    if not (isinstance(factory, type) and issubclass(factory, ScaledRotaryPosition)):
        return options
    return {"name": "rope"} | {name: options[name] for name in _OF_ROPE if name in options}


def resized(original: ModelConfig, fields: Mapping[str, Any], sizes: Mapping[str, int]) -> dict[str, Any]:
    """`fields`, which say the parts of `original`, at other `sizes`.

    Patterns over the layers go on, or end, where the depth does. A scale of the embeddings that was sqrt(d_model) is
    so again, and scales of logits that go by 1 / sqrt(head_dim) follow it.
    """
    assert original.head_dim is not None
    at_size = {**fields, **sizes}
    layers = {at_size["num_layers"], at_size["encoder_layers"] or at_size["num_layers"]}
    for slot in LAYERED:
        spec = at_size[slot]
        if not isinstance(spec, (str, Mapping)) and any(each % len(spec) for each in layers):
            at_size[slot] = continued(_over(original, spec), at_size["num_layers"])
    if math.isclose(original.embedding_scale, math.sqrt(original.d_model), rel_tol=1e-2):
        at_size["embedding_scale"] = math.sqrt(at_size["d_model"])
    head_dim = at_size["head_dim"] or at_size["d_model"] // at_size["num_heads"]
    if head_dim == original.head_dim:
        return at_size

    def rescaled(options: dict[str, Any]) -> dict[str, Any]:
        scale = options.get("scale")
        if scale is None or scale == 1:  # T5 divides by nothing at any head_dim
            return options
        return options | {"scale": scale * math.sqrt(original.head_dim / head_dim)}

    return at_size | {slot: _each(at_size[slot], rescaled) for slot in ("attention", "position")}


def continued(specs: Sequence[Any], layers: int) -> Any:
    """The pattern in `specs`, one for each layer of a model, over another number of layers.

    A turn that repeats goes on repeating, whether or not the original ended on a whole one; what does not repeat (a
    window from some layer on) is stretched. The result is as short as a `ModelConfig` takes it.
    """
    length = next(
        each
        for each in range(1, len(specs) + 1)
        if all(specs[at] == specs[at % each] for at in range(len(specs)))
    )
    if 2 * length <= len(specs) and length <= layers:
        return pattern([specs[at % length] for at in range(layers)])
    return pattern([specs[at * len(specs) // layers] for at in range(layers)])


def _over(original: ModelConfig, spec: Sequence[Any]) -> list[Any]:
    """The part of every layer of the original."""
    return [spec[layer % len(spec)] for layer in range(original.num_layers)]


def _each(spec: LayeredSpec, change: Any) -> LayeredSpec:
    """Every part of a slot with its options changed; a part without options is its name again."""
    if isinstance(spec, (str, Mapping)):
        options = change({"name": spec} if isinstance(spec, str) else dict(spec))
        return options["name"] if len(options) == 1 else options
    return [_each(each, change) for each in spec]  # type: ignore[misc]
