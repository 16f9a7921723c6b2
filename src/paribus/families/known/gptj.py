"""GPT-J (Wang & Komatsuzaki 2021): side by side behind one norm, interleaved RoPE on the first channels, a biased head."""

from paribus.families.family import Family
from paribus.families.rotary import RotatedChannels
from paribus.families.rules import Always, FeedForward, Key, Part, activation

_BLOCK = "transformer.h.{layer}"
_OURS = "decoder.blocks.{layer}"

FAMILY = Family(
    model_type="gptj",
    transformers_class="GPTJForCausalLM",
    config={
        "vocab_size": Key("vocab_size"),
        "d_model": Key("n_embd"),
        "d_ff": Key("n_inner", lambda keys: 4 * keys.get("n_embd", kind=int)),
        "num_layers": Key("n_layer"),
        "num_heads": Key("n_head"),
        "max_seq_len": Key("n_positions", 2048),
        "ffn": FeedForward(activation("activation_function", "gelu_new"), gated=False, bias=Always(True)),
        "norm": Part("layernorm", {"eps": Key("layer_norm_epsilon", 1e-5, float)}),
        "residual": Always("parallel"),
        "position": RotatedChannels(key="rotary_dim", default=64),
        "attention": Always("mha"),
        "tie_embeddings": Key("tie_word_embeddings", False, bool),
        "head_bias": Always(True),
    },
    tensors={
        "transformer.wte": "embedding",
        **{f"{_BLOCK}.attn.{each}_proj": f"{_OURS}.attention.{each}" for each in "qkv"},
        f"{_BLOCK}.attn.out_proj": f"{_OURS}.attention.o",
        f"{_BLOCK}.mlp.fc_in": f"{_OURS}.ffn.up",
        f"{_BLOCK}.mlp.fc_out": f"{_OURS}.ffn.down",
        f"{_BLOCK}.ln_1": f"{_OURS}.residual.norms.shared",
        "transformer.ln_f": "decoder.final_norm",
        "lm_head": "head",
    },
    prefix="transformer.",
    copies={"lm_head.weight": "transformer.wte.weight"},
    unused=(".attn.bias", ".attn.masked_bias", ".attn.embed_positions"),
)
