"""Our own families as rows of the same table, from the rules by which they are loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paribus.errors import RequestError
from paribus.families.family import Family, families, interpret
from paribus.families.meaning import ResolvedPart, num_kv_heads, resolved
from paribus.families.survey.claims import Claim
from paribus.families.survey.feeding import ffn_name
from paribus.families.survey.table import Row, Survey
from paribus.model.config import ModelConfig

#: Sizes that the rules of a family may ask for; what is said of its parts does not hang on them.
_SIZES = {
    "hidden_size": 512,
    "n_embd": 512,
    "d_model": 512,
    "word_embed_proj_dim": 512,
    "d_kv": 16,
    "head_dim": 16,
    "intermediate_size": 128,
    "n_inner": 128,
    "ffn_dim": 128,
    "d_ff": 128,
    "vocab_size": 97,
    "num_hidden_layers": 4,
    "n_layer": 4,
    "num_layers": 4,
    "n_layers": 4,
    "num_decoder_layers": 4,
    "num_attention_heads": 32,
    "n_head": 32,
    "num_heads": 32,
    "n_heads": 32,
    "max_position_embeddings": 64,
    "n_positions": 64,
    "max_seq_len": 64,
    "rotary_dim": 16,
}


def own_rows() -> Survey:
    """A row for each of our families, as its rules have it where `config.json` leaves everything but sizes open."""
    rows = []
    for family in families().values():
        try:
            rows.append(own_row(family, _SIZES))
        except RequestError as error:
            rows.append(Row(type=family.model_type, kind="causal", built=False, problem=str(error)))
    return Survey(version=None, rows=tuple(rows))


def own_row(family: Family, config: Mapping[str, Any]) -> Row:
    """What the rules of a family say of a `config.json`. Raises `RequestError` if they describe no model."""
    model = interpret(family, config).config
    said = {name: Claim(value, "rules") for name, value in _parts(model).items()}
    kind = "encoder-decoder" if "Conditional" in family.transformers_class else "causal"
    return Row(
        type=family.model_type, kind="encoder" if "Masked" in family.transformers_class else kind, claims=said
    )


def _parts(config: ModelConfig) -> dict[str, str]:
    ffn, norm = resolved(config, "ffn"), resolved(config, "norm")
    gate = ffn.options.get("gate")
    gated = isinstance(gate, str)
    activation = str(gate if gated else ffn.options.get("activation"))
    heads, kv_heads = config.num_heads, num_kv_heads(config)
    attention = resolved(config, "attention")
    query_norm = attention.options.get("qk_norm")
    return {
        "activation": activation,
        "gated": "yes" if gated else "no",
        "ffn": ffn_name(activation, gated) or "?",
        "norm": norm.name,
        "placement": resolved(config, "residual").name,
        "position": _POSITIONS.get((name := resolved(config, "position").name), name),
        "attention": "mha" if kv_heads == heads else "mqa" if kv_heads == 1 else "gqa",
        "qk_norm": query_norm.name if isinstance(query_norm, ResolvedPart) else "no",
        "experts": "no",
        "tied": "yes" if config.tie_embeddings else "no",
    }


#: The layout of pairs and the kind of distance are beside the table's question.
_POSITIONS = {"rope_interleaved": "rope", "t5": "relative"}
