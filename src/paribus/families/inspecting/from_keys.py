"""Claims about a config of a type that is not known: what the common names of keys say, and nothing more.

A row is a claim with the names its key goes by. Absent keys leave a claim unknown: defaults belong to the families.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from paribus.errors import RequestError
from paribus.families.family import MOST_LAYERS
from paribus.families.inspecting.claims import Claim, Evidence, keys_as_evidence, unknown
from paribus.families.keys import Keys
from paribus.families.rules import ACTIVATIONS

#: Sizes beyond which a config is broken, not large.
_MOST = {"layers": MOST_LAYERS, "experts": 10**6, "heads": 10**6}
_MOST_ELSE = 10**12


@dataclass(frozen=True)
class Row:
    """A claim and the names of the keys that say it, of which the first that stands there counts."""

    section: str
    name: str
    keys: tuple[str, ...]
    kind: type = int
    turn: Callable[[Any], Any] = lambda value: value


ROWS = (
    Row(
        "model",
        "layers",
        ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "num_decoder_layers", "decoder_layers"),
    ),
    Row("model", "d_model", ("hidden_size", "n_embd", "d_model", "model_dim", "dim", "n_embed")),
    Row(
        "model",
        "max_seq_len",
        ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "max_sequence_length"),
    ),
    Row(
        "ffn",
        "activation",
        ("hidden_act", "activation_function", "hidden_activation", "activation", "act_fn", "ffn_act_fn"),
        str,
        lambda name: ACTIVATIONS.get(name, name),
    ),
    Row("ffn", "gated", ("is_gated_act", "gated_mlp", "use_gated_mlp"), bool),
    Row("ffn", "d_ff", ("intermediate_size", "n_inner", "ffn_dim", "d_ff", "ffn_hidden_size", "d_inner")),
    Row("ffn", "bias", ("mlp_bias", "use_mlp_bias"), bool),
    Row(
        "ffn",
        "experts",
        (
            "num_local_experts",
            "n_routed_experts",
            "num_experts",
            "moe_num_experts",
            "ffn_config.moe_num_experts",
        ),
    ),
    Row(
        "ffn",
        "active_experts",
        (
            "num_experts_per_tok",
            "num_experts_per_token",
            "experts_per_token",
            "moe_topk",
            "moe_k",
            "top_k_experts",
            "ffn_config.moe_top_k",
        ),
    ),
    Row("ffn", "shared_experts", ("n_shared_experts", "num_shared_experts", "moe_num_shared_experts")),
    Row("ffn", "expert_d_ff", ("moe_intermediate_size", "expert_intermediate_size")),
    Row("ffn", "shared_d_ff", ("shared_expert_intermediate_size", "shared_intermediate_size")),
    Row(
        "norm",
        "eps",
        (
            "rms_norm_eps",
            "rms_norm_epsilon",
            "layer_norm_eps",
            "layer_norm_epsilon",
            "layernorm_epsilon",
            "norm_eps",
            "norm_epsilon",
        ),
        float,
    ),
    Row("attention", "heads", ("num_attention_heads", "n_head", "n_heads", "num_heads")),
    Row(
        "attention",
        "kv_heads",
        ("num_key_value_heads", "num_kv_heads", "multi_query_group_num", "n_kv_heads", "n_head_kv"),
    ),
    Row("attention", "head_dim", ("head_dim", "d_kv", "attention_head_dim", "kv_channels")),
    Row("attention", "bias", ("attention_bias", "use_attention_bias"), bool),
    Row(
        "attention",
        "bias",
        ("qkv_bias", "add_qkv_bias", "use_qkv_bias"),
        bool,
        lambda yes: "qkv" if yes else False,
    ),
    Row("attention", "softcap", ("attn_logit_softcapping", "attention_logit_cap"), float),
    Row("attention", "clip", ("clip_qkv", "attn_config.clip_qkv"), float),
    Row("attention", "qk_norm", ("use_qk_norm", "qk_layernorm", "qk_norm"), bool, lambda yes: yes or "none"),
    Row("attention", "kv_rank", ("kv_lora_rank",)),
    Row("attention", "rope_head_dim", ("qk_rope_head_dim",)),
    Row("head", "vocab_size", ("vocab_size", "padded_vocab_size", "n_vocab")),
    Row("head", "tied", ("tie_word_embeddings", "tie_embeddings"), bool),
    Row("head", "bias", ("lm_head_bias", "head_bias"), bool),
    Row("head", "embedding_scale", ("embedding_multiplier", "embedding_scale"), float),
    Row("head", "logit_scale", ("logit_scale", "logits_scaling"), float),
    Row("head", "logit_softcap", ("final_logit_softcapping", "logits_soft_cap"), float),
)
#: Told as unknown if nothing says them; the others are only told where a key stands.
ALWAYS = (
    ("model", "layers"),
    ("model", "d_model"),
    ("ffn", "activation"),
    ("ffn", "gated"),
    ("ffn", "d_ff"),
    ("ffn", "experts"),
    ("norm", "kind"),
    ("placement", "residual"),
    ("position", "kind"),
    ("attention", "kind"),
    ("attention", "heads"),
    ("attention", "head_dim"),
    ("attention", "qk_norm"),
    ("head", "vocab_size"),
    ("head", "tied"),
)


def claims_from_keys(keys: Keys, warnings: list[str]) -> list[Claim]:
    """What the rows say of this config; a value of the wrong kind becomes a warning.

    Raises `RequestError` for sizes that no model has.
    """
    found: list[Claim] = []
    for row in ROWS:
        name = next((each for each in row.keys if each in keys), None)
        if name is None or (row.section, row.name) in {claim.key for claim in found}:
            continue
        with keys.seen() as seen:
            try:
                value = row.turn(keys.get(name, kind=row.kind))
            except RequestError as error:
                warnings.append(str(error))
                continue
        if row.kind is int:
            _check_size(row.name, name, value)
        found.append(
            Claim(
                section=row.section,
                name=row.name,
                value=value,
                sure="config",
                evidence=keys_as_evidence(seen),
            )
        )
    found += _norm_kind(found)
    return found + _heads(found)


def with_unknowns(claims: list[Claim]) -> list[Claim]:
    """The claims, and those of `ALWAYS` that nobody made, as unknown."""
    there = {claim.key for claim in claims}
    return claims + [unknown(*key) for key in ALWAYS if key not in there]


def _check_size(name: str, key: str, value: int) -> None:
    most = _MOST.get(name, _MOST_ELSE)
    if not 0 <= value <= most:
        raise RequestError(
            f"config.json: {key} is {_brief(value)}, and no model has more than {most:,} or fewer than 0"
        )


def _brief(value: int) -> str:
    return f"{value:,}" if abs(value) < 10**15 else f"about 10^{len(str(abs(value))) - 1}"


def _norm_kind(claims: Iterable[Claim]) -> list[Claim]:
    """A key that speaks of an RMS norm says what the norm is; one that speaks of a layer norm often does not."""
    for claim in claims:
        if claim.name == "eps" and claim.evidence[0].what.startswith("rms"):
            return [
                Claim(section="norm", name="kind", value="rmsnorm", sure="config", evidence=claim.evidence)
            ]
    return []


def _heads(claims: Iterable[Claim]) -> list[Claim]:
    """What follows from the numbers of heads: their width, and what the attention is called."""
    values = {claim.name: claim for claim in claims if claim.section in ("attention", "model")}
    found = []
    heads, width = values.get("heads"), values.get("d_model")
    if "kv_rank" in values:
        found.append(_attention("kind", "mla", values["kv_rank"]))
    elif heads is not None and heads.value:
        if (kv_heads := values.get("kv_heads")) is not None:
            kind = "mha" if kv_heads.value == heads.value else "mqa" if kv_heads.value == 1 else "gqa"
            found.append(_attention("kind", kind, heads, kv_heads))
        if "head_dim" not in values and width is not None and width.value % heads.value == 0:
            found.append(_attention("head_dim", width.value // heads.value, width, heads))
    return found


def _attention(name: str, value: Any, *because: Claim) -> Claim:
    evidence = tuple(
        Evidence(source="worked out", what=each.what, value=each.value)
        for claim in because
        for each in claim.evidence
    )
    return Claim(section="attention", name=name, value=value, sure="config", evidence=evidence)
