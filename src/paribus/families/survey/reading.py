"""What a config of `transformers` says by its keys, under the several names that they have."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from torch import nn

_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts", "num_routed_experts")
_CHOSEN = ("num_experts_per_tok", "num_experts_per_token", "moe_k", "moe_top_k", "top_k", "moe_topk")
_KV_HEADS = ("num_key_value_heads", "num_kv_heads", "multi_query_group_num", "kv_n_heads")
_HEADS = ("num_attention_heads", "n_head", "num_heads", "n_heads", "decoder_attention_heads")
_FRACTIONS = ("partial_rotary_factor", "rotary_pct", "rotary_emb_fraction")


def window(config: Any) -> str | None:
    """Tokens that attention sees back, and in how many layers; `no` where no key says so."""
    size = _first(config, ("sliding_window", "attention_window", "attention_chunk_size", "window_size"))
    types = _get(config, "layer_types") or _get(config, "attention_layers") or []
    if isinstance(size, (list, tuple)):
        size = size[0] if len(set(map(str, size))) == 1 else None
    if not isinstance(size, int) or size <= 0 or _get(config, "use_sliding_window") is False:
        return "no"
    kinds = Counter(map(str, types))
    sliding = sum(count for kind, count in kinds.items() if re.search("sliding|chunked|local", kind))
    if not kinds:
        return str(size)
    return (
        "no"
        if sliding == 0
        else str(size)
        if sliding == len(types)
        else f"{size} in {sliding} of {len(types)} layers"
    )


def experts(config: Any, model: nn.Module) -> str | None:
    """How many experts a layer has and how many of them a token goes through; None if keys and model differ."""
    count, chosen = _first(config, _EXPERTS), _first(config, _CHOSEN)
    if not isinstance(count, int) or count < 2:
        return "no"
    if not _has(model, count):
        return None
    return f"{count}, top {chosen}" if isinstance(chosen, int) else str(count)


def _has(model: nn.Module, count: int) -> bool:
    """Whether so many matrices lie in one tensor, or so many modules in one list, a router beside."""
    tensors = (each.dim() == 3 and each.shape[0] == count for each in model.parameters())
    lists = (
        isinstance(each, (nn.ModuleList, nn.ModuleDict)) and count <= len(each) <= count + 1
        for each in model.modules()
    )
    return any(tensors) or any(lists)


def attention(config: Any) -> str | None:
    """How many heads share keys and values: mha, gqa, mqa; mla where they come from one small vector."""
    if isinstance(_get(config, "kv_lora_rank"), int):
        return "mla"
    inner = _get(config, "attn_config") or config
    heads, kv_heads = _first(config, _HEADS), _first(inner, _KV_HEADS)
    if _get(config, "new_decoder_architecture"):
        kv_heads = _get(config, "num_kv_heads")
    elif _get(config, "multi_query") is not None:
        kv_heads = 1 if _get(config, "multi_query") else heads
    if not isinstance(kv_heads, int) or not isinstance(heads, int):
        return None
    return "mha" if kv_heads == heads else "mqa" if kv_heads == 1 else "gqa"


def attention_of_modules(model: nn.Module) -> str | None:
    """`mha` where the matrices of queries and keys are of one size, or one matrix is three of them in a row."""
    for module in model.modules():
        sizes = {
            name: tuple(weight.shape)
            for name, child in module.named_children()
            if isinstance(weight := getattr(child, "weight", None), nn.Parameter)
        }
        for queries, keys in (
            ("q_proj", "k_proj"),
            ("query", "key"),
            ("q", "k"),
            ("q_lin", "k_lin"),
            ("q_net", "k_net"),
        ):
            if queries in sizes and keys in sizes:
                return "mha" if sizes[queries] == sizes[keys] else None
        for name in ("query_key_value", "c_attn", "Wqkv", "qkv_proj", "qkv_net"):
            if len(sizes.get(name, ())) == 2:
                long, short = sorted(sizes[name], reverse=True)
                return "mha" if long == 3 * short else None
    return None


def rope(config: Any) -> str:
    """The scaling of RoPE and the fraction of channels it turns, as they stand behind its name."""
    parameters = _get(config, "rope_parameters") or _get(config, "rope_scaling") or {}
    inner = [each for each in parameters.values() if isinstance(each, dict)] or [parameters]
    kinds = {each.get("rope_type", each.get("type")) for each in inner} - {None, "default"}
    scaled = "".join(f"_{kind}" for kind in sorted(map(str, kinds)))
    given = [next((each[name] for name in _FRACTIONS if each.get(name)), None) for each in inner]
    shares = sorted({1.0 if each is None else float(each) for each in given})
    if len(shares) > 1:  # layers of one kind turn more than those of another
        return f"{scaled} on {shares[0]:.3g} to {shares[-1]:.3g} of the channels"
    fraction = given[0] or _first(config, _FRACTIONS)
    if fraction is None and isinstance(_get(config, "rotary_dim"), int):
        heads, width = _first(config, _HEADS), _first(config, ("hidden_size", "n_embd"))
        fraction = config.rotary_dim / (width // heads) if heads and width else None
    partial = isinstance(fraction, (int, float)) and fraction < 1
    return scaled + (f" on {fraction:.3g} of the channels" if partial else "")


def alibi(config: Any) -> bool:
    """Whether a key says ALiBi."""
    inner = _get(config, "attn_config")
    return any(_get(each, "alibi") is True for each in (config, inner) if each is not None)


def hints_position(model: nn.Module, config: Any) -> bool:
    """Whether something speaks of positions, so that their absence is not known."""
    classes = {type(module).__name__.lower() for module in model.modules()}
    names = {name.lower() for name, _ in [*model.named_parameters(), *model.named_buffers()]}
    return any(re.search("pos|rotary|relative|alibi", each) for each in classes | names)


def _first(config: Any, names: tuple[str, ...]) -> Any:
    return next((value for name in names if (value := _get(config, name)) is not None), None)


def _get(config: Any, name: str) -> Any:
    try:
        return getattr(config, name, None)
    except Exception:  # noqa: BLE001 - a key that may differ by layer refuses to be asked for
        return None
