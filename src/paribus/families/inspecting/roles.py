"""Which tensor is which: the names that libraries give to the matrices of a layer, one row for each role.

A name only proposes a role. What follows from it rests on shapes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from paribus.families.inspecting.names import Group, Groups

_NORM = re.compile(r"(norm\w*|(^|\.)ln_?\w*)(\.\w+)*$", re.IGNORECASE)
_ATTENTION = re.compile(r"att(n|ention)", re.IGNORECASE)
_EXPERT = re.compile(r"(^|\.)experts?(\.|$)")
_SHARED = re.compile(r"shared_(expert|mlp)s?")
_OTHER = re.compile(
    r"(^|\.)(mamba|mixer|ssm|linear_attn|recurrent|conv|time_mix\w*|temporal_block)(\.|$)|A_log$"
)


def _ends(*names: str) -> re.Pattern[str]:
    return re.compile(rf"(^|[._])({'|'.join(names)})$")


_IN_FFN = {
    "router": re.compile(
        r"(^|\.)(mlp|block_sparse_moe|feed_forward|moe)\.(gate|router)(\.wg)?$|(^|\.)router(\.\w+)?$"
    ),
    "gate_up": _ends("gate_up_proj", "gate_and_up_proj", "w12", "gate_up"),
    "gate": _ends("gate_proj", "wi_0", "w1", "gate"),
    "up": _ends(
        "up_proj",
        "wi_1",
        "w3",
        "fc1",
        "c_fc",
        "fc_in",
        "dense_h_to_4h",
        "wi",
        "intermediate.dense",
        "up",
        "value",
    ),
    "down": _ends(
        "down_proj", "w2", "wo", "fc2", "c_proj", "fc_out", "dense_4h_to_h", "output.dense", "down"
    ),
}
_IN_ATTENTION = {
    "q_norm": _ends("q_norm", "q_layernorm", "query_norm"),
    "k_norm": _ends("k_norm", "k_layernorm", "key_norm"),
    "latent": _ends("kv_b_proj", "kv_a_proj_with_mqa"),
    "qkv": _ends("qkv_proj", "query_key_value", "c_attn", "Wqkv", "wqkv", "qkv"),
    "q": _ends("q_proj", "query", "wq", "q", "q_b_proj"),
    "k": _ends("k_proj", "key", "wk", "k"),
    "v": _ends("v_proj", "value", "wv", "v"),
    "o": _ends("o_proj", "out_proj", "dense", "wo", "c_proj", "o"),
    "sinks": _ends("sinks"),
}
_BESIDE = {
    "positions": _ends("wpe", "position_embeddings", "embed_positions", "position"),
    "segments": _ends("token_type_embeddings", "segment_embedding"),
    "embedding_norm": re.compile(r"(embeddings?\.LayerNorm|embeddings?_(layer)?norm)$"),
    "embedding": _ends(
        "embed_tokens", "wte", "word_embeddings", "embed_in", "tok_embeddings", "shared", "embedding"
    ),
    "head": re.compile(r"^(.*\.)?(lm_head|embed_out|output|head)$"),
}


def role_of(group: Group) -> str | None:
    """The role of a group in a layer, `norm` and `other` among them; None if the name says nothing."""
    module = group.module.removesuffix("_bias")
    if _OTHER.search(group.inside):
        return "other"
    # Norms of single heads end in the head's number.
    module = re.sub(r"\.norms\.\d+$", "", module)
    if found := _first(_IN_ATTENTION, module, ("q_norm", "k_norm")):
        return found
    if _NORM.search(module):
        return None if re.search(r"[qk]v?_a_", module) else "norm"
    in_attention = bool(_ATTENTION.search(module)) and not _EXPERT.search(module)
    return _first(_IN_ATTENTION if in_attention else _IN_FFN, module)


def beside(groups: Groups, role: str) -> list[Group]:
    """Groups outside the layers that have this role."""
    return [group for group in groups.beside if _first(_BESIDE, group.module) == role]


def is_expert(group: Group) -> bool:
    """Whether it belongs to experts between which tokens are divided."""
    return bool(_EXPERT.search(group.module)) and not is_shared(group)


def is_shared(group: Group) -> bool:
    """Whether it belongs to experts that every token goes through."""
    return bool(_SHARED.search(group.module))


def by_role(groups: Iterable[Group]) -> dict[str, list[Group]]:
    """Groups in layers by their role."""
    found: dict[str, list[Group]] = {}
    for group in groups:
        if (role := role_of(group)) is not None:
            found.setdefault(role, []).append(group)
    return found


def _first(rows: dict[str, re.Pattern[str]], module: str, among: Iterable[str] | None = None) -> str | None:
    return next(
        (role for role, names in rows.items() if (among is None or role in among) and names.search(module)),
        None,
    )
