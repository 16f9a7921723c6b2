"""BLOOM (arXiv:2211.05100): ALiBi, a norm after the embedding, GELU in its tanh form."""

from paribus.families.family import Family, Laid
from paribus.families.layouts import Groups
from paribus.families.rules import Always, Key, Part, Worked

_BLOCK = "transformer.h.{layer}"
_OURS = "decoder.blocks.{layer}"

FAMILY = Family(
    model_type="bloom",
    transformers_class="BloomForCausalLM",
    config={
        "vocab_size": Key("vocab_size"),
        "d_model": Key("hidden_size", also=("n_embed",)),
        "d_ff": Worked(lambda keys: 4 * keys.get("hidden_size", keys.get("n_embed", 1), int)),
        "num_layers": Key("n_layer", also=("num_hidden_layers",)),
        "num_heads": Key("n_head", also=("num_attention_heads",)),
        "max_seq_len": Key("seq_length", 2048),
        "ffn": Always({"name": "gelu_tanh", "bias": True}),
        "norm": Part("layernorm", {"eps": Key("layer_norm_epsilon", 1e-5, float)}),
        "residual": Always("pre"),
        "position": Always("alibi"),
        "attention": Part("mha", {"bias": Always(True)}),
        "tie_embeddings": Key("tie_word_embeddings", True, bool),
        "embedding_norm": Always(True),
    },
    tensors={
        "transformer.word_embeddings": "embedding",
        "transformer.word_embeddings_layernorm": "decoder.embedding_norm",
        f"{_BLOCK}.self_attention.query_key_value": Laid(
            Groups(), tuple(f"{_OURS}.attention.{each}" for each in "qkv")
        ),
        f"{_BLOCK}.self_attention.dense": f"{_OURS}.attention.o",
        f"{_BLOCK}.mlp.dense_h_to_4h": f"{_OURS}.ffn.up",
        f"{_BLOCK}.mlp.dense_4h_to_h": f"{_OURS}.ffn.down",
        f"{_BLOCK}.input_layernorm": f"{_OURS}.residual.norms.attention",
        f"{_BLOCK}.post_attention_layernorm": f"{_OURS}.residual.norms.ffn",
        "transformer.ln_f": "decoder.final_norm",
        "lm_head": "head",
    },
    only={"apply_residual_connection_post_layernorm": False},
    prefix="transformer.",
    copies={"lm_head.weight": "transformer.word_embeddings.weight"},
)
