"""RoBERTa (arXiv:1907.11692): BERT whose table of positions starts with two rows that no token has."""

from paribus.families.family import Family, Tensors
from paribus.families.known.bert import LIKE_BERT, ONLY, encoder, has_head, headed
from paribus.families.rules import Always, Key, Turned, Worked

#: RoBERTa's head has the exact GELU, whatever the layers have.
_TRANSFORM = Worked(lambda keys: "gelu" if has_head(keys) else None)
_TENSORS: Tensors = {
    **encoder("roberta."),
    "lm_head.dense": "head.transform.dense",
    "lm_head.layer_norm": "head.transform.norm",
    "lm_head": "head",
}

FAMILY = Family(
    model_type="roberta",
    transformers_class="RobertaForMaskedLM",
    config={
        **LIKE_BERT,
        "max_seq_len": Turned(
            Key("max_position_embeddings", 514), ours=lambda rows: rows - 2, theirs=lambda length: length + 2
        ),
        "position": Always({"name": "learned", "offset": 2}),
        "head_bias": headed("RobertaModel"),
        "head_transform": _TRANSFORM,
    },
    tensors=_TENSORS,
    only={**ONLY, "pad_token_id": 1},
    prefix="roberta.",
    copies={
        "lm_head.decoder.weight": "roberta.embeddings.word_embeddings.weight",
        "lm_head.decoder.bias": "lm_head.bias",
    },
    unused=(".position_ids",),
    aside=("pooler.dense.weight", "pooler.dense.bias"),
)
