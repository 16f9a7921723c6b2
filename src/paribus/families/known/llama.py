"""LLaMA (1, 2, 3.x; arXiv:2302.13971, 2307.09288, 2407.21783) and the many models that are built like it."""

from paribus.families.family import Family, Tensors
from paribus.families.rotary import Rope
from paribus.families.rules import Always, FeedForward, Key, Part, Rule, activation

#: Sizes as most families call them.
SIZES: dict[str, Rule] = {
    "vocab_size": Key("vocab_size"),
    "d_model": Key("hidden_size"),
    "d_ff": Key("intermediate_size"),
    "num_layers": Key("num_hidden_layers"),
    "num_heads": Key("num_attention_heads"),
    "num_kv_heads": Key("num_key_value_heads", None),
    "max_seq_len": Key("max_position_embeddings"),
}
#: What LLaMA and its closest relatives share beyond the sizes.
LIKE_LLAMA: dict[str, Rule] = {
    **SIZES,
    "head_dim": Key("head_dim", None),
    "ffn": FeedForward(activation("hidden_act", "silu"), gated=True),
    "norm": Part("rmsnorm", {"eps": Key("rms_norm_eps", 1e-6, float)}),
    "residual": Always("pre"),
    "position": Rope(),
    "tie_embeddings": Key("tie_word_embeddings", False, bool),
}
BLOCK = "model.layers.{layer}"
OURS = "decoder.blocks.{layer}"
TENSORS: Tensors = {
    "model.embed_tokens": "embedding",
    f"{BLOCK}.self_attn.q_proj": f"{OURS}.attention.q",
    f"{BLOCK}.self_attn.k_proj": f"{OURS}.attention.k",
    f"{BLOCK}.self_attn.v_proj": f"{OURS}.attention.v",
    f"{BLOCK}.self_attn.o_proj": f"{OURS}.attention.o",
    f"{BLOCK}.mlp.gate_proj": f"{OURS}.ffn.gate",
    f"{BLOCK}.mlp.up_proj": f"{OURS}.ffn.value",
    f"{BLOCK}.mlp.down_proj": f"{OURS}.ffn.down",
    f"{BLOCK}.input_layernorm": f"{OURS}.residual.norms.attention",
    f"{BLOCK}.post_attention_layernorm": f"{OURS}.residual.norms.ffn",
    "model.norm": "decoder.final_norm",
    "lm_head": "head",
}

COPIES = {"lm_head.weight": "model.embed_tokens.weight"}
UNUSED = (".rotary_emb.inv_freq",)

FAMILY = Family(
    model_type="llama",
    transformers_class="LlamaForCausalLM",
    config={
        **LIKE_LLAMA,
        "max_seq_len": Key("max_position_embeddings", 2048),
        "ffn": FeedForward(activation("hidden_act", "silu"), gated=True, bias=Key("mlp_bias", False, bool)),
        "attention": Part("mha", {"bias": Key("attention_bias", False, bool)}),
    },
    tensors=TENSORS,
    prefix="model.",
    copies=COPIES,
    unused=UNUSED,
)
