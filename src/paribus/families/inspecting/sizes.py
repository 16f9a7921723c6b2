"""What a model costs: FLOPs, memory to run it and to train it, and what it keeps of each token it has read.

All of it follows from the numbers of parameters and from claims; the evidence of each claim is how it was worked out.
"""

from __future__ import annotations

from typing import Any

from paribus.families.inspecting.claims import Claim, Evidence, Inspection, Sure
from paribus.families.inspecting.counted import Counted

#: The context at which costs are told, if the model reads as much.
CONTEXT = 4096
_BYTES = {"float64": 8, "double": 8, "float32": 4, "float": 4, "float16": 2, "half": 2, "bfloat16": 2}
_KEPT = 2  # bytes of a number that is kept of a token, in bfloat16
_TRAINED = 16  # bytes for each parameter in training


def claims_of_sizes(
    inspection: Inspection,
    counted: Counted | None,
    *,
    sure: Sure,
    context: int,
    held: int | None,
    dtype: str | None,
) -> list[Claim]:
    """Claims about sizes; `held` is how many bytes of weights the checkpoint holds, `dtype` what its config calls them."""
    found = _parameters(counted, sure)
    found += [_flops(inspection, counted, context, sure)]
    found += _kept(inspection, context)
    return found + _memory(counted, sure, held, dtype)


def context_of(inspection: Inspection) -> int:
    """Tokens at which costs are told: as many as the model reads, and `CONTEXT` at most."""
    length = inspection.value("model", "max_seq_len")
    return min(CONTEXT, length) if type(length) is int and length else CONTEXT


def _size(name: str, value: Any, sure: Sure, how: str) -> Claim:
    if value is None:
        return Claim(section="sizes", name=name, value=None, sure="unknown")
    evidence = (Evidence(source="worked out", what=how),)
    return Claim(section="sizes", name=name, value=value, sure=sure, evidence=evidence)


def _parameters(counted: Counted | None, sure: Sure) -> list[Claim]:
    how = "the sum of all tensors" if sure == "tensors" else "the model that the config describes"
    if counted is None:
        return [_size("parameters", None, sure, "")]
    found = [
        _size("parameters", counted.total, sure, how),
        _size("active_parameters", counted.active, sure, "of all experts those that a token goes through"),
        _size("embedding_parameters", counted.embedding, sure, "tables of tokens, positions and segments"),
    ]
    if counted.outside:
        found.append(
            _size(
                "parameters_outside", counted.outside, sure, "beside the language model: what sees or hears"
            )
        )
    return found


def _flops(inspection: Inspection, counted: Counted | None, context: int, sure: Sure) -> Claim:
    """Forward: 2 for each number of a matrix that a token meets, 4 · width for each key it looks at."""
    heads, head_dim = (inspection.value("attention", name) for name in ("heads", "head_dim"))
    windows = windows_of(inspection)
    name = "flops_per_token"
    if counted is None or windows is None or type(heads) is not int or type(head_dim) is not int:
        return _size(name, None, sure, "")
    crossed = inspection.value("model", "architecture") == "encoder_decoder"
    encoder = inspection.value("model", "encoder_layers") or 0 if crossed else 0
    looks = (
        sum(min(window or context, context) for window in windows) * (2 if crossed else 1) + encoder * context
    )
    how = (
        f"forward at {context:,} tokens: 2 · {counted.matrices:,} in matrices + 4 · {heads * head_dim} · {looks:,} keys "
        "over the layers"
    )
    return _size(name, 2 * counted.matrices + 4 * heads * head_dim * looks, sure, how)


def windows_of(inspection: Inspection) -> list[int | None] | None:
    """The window of every layer that attends, None where it sees everything; None in all if that is not known."""
    layers = inspection.value("model", "layers")
    if type(layers) is not int or inspection.value("attention", "kind") in ("mla", None):
        return None
    found: list[int | None] = [None] * layers
    for at, window in inspection.values("attention", "window").items():
        if window == "some":
            return None
        for layer in range(layers) if at is None else at:
            found[layer] = window if type(window) is int else None
    for at, kind in inspection.values("model", "layer_kind").items():
        if kind != "attention" and at is not None:
            found = [each for layer, each in enumerate(found) if layer not in set(at)]
    return found


def _kept(inspection: Inspection, context: int) -> list[Claim]:
    """Bytes of keys and values in bfloat16: what another token adds, and what all of the context takes."""
    names = ("kv_cache_bytes_per_token", "kv_cache_bytes")
    if inspection.value("model", "architecture") == "encoder":
        return [
            _size(name, 0, "family", "an encoder reads everything at once and keeps nothing")
            for name in names
        ]
    layers = inspection.value("model", "layers")
    rank, rotated = (inspection.value("attention", name) for name in ("kv_rank", "rope_head_dim"))
    if (
        inspection.value("attention", "kind") == "mla"
        and type(rank) is int
        and type(rotated) is int
        and type(layers) is int
    ):
        each = layers * (rank + rotated) * _KEPT
        how = f"{layers} layers · ({rank} + {rotated}) of the latent · 2 bytes"
        return [
            _size(names[0], each, "config", how),
            _size(names[1], each * context, "config", f"· {context:,} tokens"),
        ]
    heads, head_dim = (inspection.value("attention", name) for name in ("kv_heads", "head_dim"))
    windows = windows_of(inspection)
    if windows is None or type(heads) is not int or type(head_dim) is not int:
        return [_size(name, None, "config", "") for name in names]
    a_layer = 2 * heads * head_dim * _KEPT
    growing = sum(1 for window in windows if window is None or window > context)
    whole = sum(min(window or context, context) for window in windows)
    said = f"{heads} {'head' if heads == 1 else 'heads'} · {head_dim} · keys and values · 2 bytes"
    rest = "" if growing == len(windows) else f"; {len(windows) - growing} layers keep their window alone"
    at = f"at {context:,} tokens"
    if inspection.value("model", "architecture") == "encoder_decoder":
        # Cross-attention keeps the source, whatever the window.
        whole, at = whole + len(windows) * context, f"{at}, and as many of the source"
    return [
        _size(names[0], growing * a_layer, "config", f"{growing} layers · {said}{rest}"),
        _size(names[1], whole * a_layer, "config", at),
    ]


def _memory(counted: Counted | None, sure: Sure, held: int | None, dtype: str | None) -> list[Claim]:
    """Bytes of the weights as they are kept, and of what training keeps for them."""
    if held is not None:
        weights = _size("weight_bytes", held, "tensors", "as they lie in the files")
    elif counted is not None and dtype in _BYTES:
        weights = _size(
            "weight_bytes", counted.total * _BYTES[dtype], sure, f"{_BYTES[dtype]} bytes each, in {dtype}"
        )
    else:
        weights = _size("weight_bytes", None, sure, "")
    how = (
        f"{_TRAINED} bytes each: weights, gradients and both moments of AdamW in float32, without activations"
    )
    train = _size("train_bytes", None if counted is None else _TRAINED * counted.total, sure, how)
    return [weights, train]
