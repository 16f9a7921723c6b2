"""GPT-2 (Radford et al. 2019): its matrices are kept as [in, out]."""

from paribus.families.family import Family, Laid
from paribus.families.layouts import Columns
from paribus.families.rules import Always, FeedForward, Key, Part, activation

_BLOCK = "transformer.h.{layer}"
_OURS = "decoder.blocks.{layer}"


def _turned(*modules: str) -> Laid:
    return Laid(Columns(), tuple(f"{_OURS}.{module}" for module in modules))


FAMILY = Family(
    model_type="gpt2",
    transformers_class="GPT2LMHeadModel",
    config={
        "vocab_size": Key("vocab_size"),
        "d_model": Key("n_embd"),
        "d_ff": Key("n_inner", lambda keys: 4 * keys.get("n_embd", kind=int)),
        "num_layers": Key("n_layer"),
        "num_heads": Key("n_head"),
        "max_seq_len": Key("n_positions", 1024),
        "ffn": FeedForward(activation("activation_function", "gelu_new"), gated=False, bias=Always(True)),
        "norm": Part("layernorm", {"eps": Key("layer_norm_epsilon", 1e-5, float)}),
        "residual": Always("pre"),
        "position": Always("learned"),
        "attention": Part("mha", {"bias": Always(True)}),
        "tie_embeddings": Key("tie_word_embeddings", True, bool),
    },
    tensors={
        "transformer.wte": "embedding",
        "transformer.wpe": "decoder.position",
        f"{_BLOCK}.attn.c_attn": _turned("attention.q", "attention.k", "attention.v"),
        f"{_BLOCK}.attn.c_proj": _turned("attention.o"),
        f"{_BLOCK}.mlp.c_fc": _turned("ffn.up"),
        f"{_BLOCK}.mlp.c_proj": _turned("ffn.down"),
        f"{_BLOCK}.ln_1": f"{_OURS}.residual.norms.attention",
        f"{_BLOCK}.ln_2": f"{_OURS}.residual.norms.ffn",
        "transformer.ln_f": "decoder.final_norm",
        "lm_head": "head",
    },
    only={
        "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False,
        "add_cross_attention": False,
    },
    prefix="transformer.",
    copies={"lm_head.weight": "transformer.wte.weight"},
    unused=(".attn.bias", ".attn.masked_bias"),
)
