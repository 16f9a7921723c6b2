"""BERT (arXiv:1810.04805): an encoder with post-norm, segments, and a head of its own for masked tokens."""

from paribus.families.family import Family, Tensors
from paribus.families.keys import Keys
from paribus.families.rules import Always, FeedForward, Key, Part, Rule, Worked, activation

BLOCK = "encoder.layer.{layer}"
OURS = "encoder.blocks.{layer}"
EPS = Key("layer_norm_eps", 1e-12, float)
ACTIVATION = activation("hidden_act", "gelu")
ONLY = {
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "add_cross_attention": False,
    "tie_word_embeddings": True,
}


def has_head(keys: Keys) -> bool:
    """Whether there is a head for masked tokens: a checkpoint of the bare encoder says another class."""
    classes = keys.get("architectures", ["ForMaskedLM"], list)
    return any(str(name).endswith(("ForMaskedLM", "ForPreTraining")) for name in classes)


def headed(bare: str) -> Worked:
    """Whether there is a head; without one the class is the bare encoder's."""
    return Worked(has_head, lambda has, config: {} if has else {"architectures": [bare]})


#: What BERT and RoBERTa share.
LIKE_BERT: dict[str, Rule] = {
    "architecture": Always("encoder"),
    "vocab_size": Key("vocab_size"),
    "d_model": Key("hidden_size"),
    "d_ff": Key("intermediate_size"),
    "num_layers": Key("num_hidden_layers"),
    "num_heads": Key("num_attention_heads"),
    "max_seq_len": Key("max_position_embeddings", 512),
    "ffn": FeedForward(ACTIVATION, gated=False, bias=Always(True)),
    "norm": Part("layernorm", {"eps": EPS}),
    "residual": Always("post"),
    "position": Always("learned"),
    "attention": Part("mha", {"bias": Always(True)}),
    "embedding_norm": Always(True),
    "tie_embeddings": Always(True),
    "segments": Worked(
        lambda keys: keys.count("type_vocab_size", 2), lambda kinds, config: {"type_vocab_size": kinds}
    ),
}


def encoder(prefix: str) -> dict[str, str]:
    """The rows of the encoder, whose names begin with this."""
    theirs, block = f"{prefix}embeddings", f"{prefix}{BLOCK}"
    return {
        f"{theirs}.word_embeddings": "embedding",
        f"{theirs}.position_embeddings": "encoder.position",
        f"{theirs}.token_type_embeddings": "segment_embedding",
        f"{theirs}.LayerNorm": "encoder.embedding_norm",
        f"{block}.attention.self.query": f"{OURS}.attention.q",
        f"{block}.attention.self.key": f"{OURS}.attention.k",
        f"{block}.attention.self.value": f"{OURS}.attention.v",
        f"{block}.attention.output.dense": f"{OURS}.attention.o",
        f"{block}.attention.output.LayerNorm": f"{OURS}.residual.norms.attention",
        f"{block}.intermediate.dense": f"{OURS}.ffn.up",
        f"{block}.output.dense": f"{OURS}.ffn.down",
        f"{block}.output.LayerNorm": f"{OURS}.residual.norms.ffn",
    }


_TENSORS: Tensors = {
    **encoder("bert."),
    "cls.predictions.transform.dense": "head.transform.dense",
    "cls.predictions.transform.LayerNorm": "head.transform.norm",
    "cls.predictions": "head",
}

FAMILY = Family(
    model_type="bert",
    transformers_class="BertForMaskedLM",
    config={
        **LIKE_BERT,
        "head_bias": headed("BertModel"),
        "head_transform": Worked(lambda keys: ACTIVATION.read(keys) if has_head(keys) else None),
    },
    tensors=_TENSORS,
    only=ONLY,
    prefix="bert.",
    copies={
        "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    },
    unused=(".position_ids",),
    aside=("pooler.dense.weight", "pooler.dense.bias", "seq_relationship.weight", "seq_relationship.bias"),
)
