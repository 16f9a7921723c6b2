"""GPT-NeoX and Pythia (arXiv:2204.06745, 2304.01373): attention and feed-forward side by side, partial RoPE."""

from paribus.families.family import Family, Laid
from paribus.families.known.llama import SIZES
from paribus.families.layouts import Groups
from paribus.families.rotary import Rope
from paribus.families.rules import Always, Choice, FeedForward, Key, Part, activation

_BLOCK = "gpt_neox.layers.{layer}"
_OURS = "decoder.blocks.{layer}"

FAMILY = Family(
    model_type="gpt_neox",
    transformers_class="GPTNeoXForCausalLM",
    config={
        **{name: rule for name, rule in SIZES.items() if name != "num_kv_heads"},
        "max_seq_len": Key("max_position_embeddings", 2048),
        "ffn": FeedForward(activation("hidden_act", "gelu"), gated=False, bias=Always(True)),
        "norm": Part("layernorm", {"eps": Key("layer_norm_eps", 1e-5, float)}),
        "residual": Part(
            Choice(Key("use_parallel_residual", True, bool), {True: "parallel_separate", False: "pre"})
        ),
        "position": Rope(fraction=0.25, fraction_key="rotary_pct", base_key="rotary_emb_base"),
        "attention": Part("mha", {"bias": Key("attention_bias", True, bool)}),
        "tie_embeddings": Key("tie_word_embeddings", False, bool),
    },
    tensors={
        "gpt_neox.embed_in": "embedding",
        f"{_BLOCK}.attention.query_key_value": Laid(
            Groups(), tuple(f"{_OURS}.attention.{each}" for each in "qkv")
        ),
        f"{_BLOCK}.attention.dense": f"{_OURS}.attention.o",
        f"{_BLOCK}.mlp.dense_h_to_4h": f"{_OURS}.ffn.up",
        f"{_BLOCK}.mlp.dense_4h_to_h": f"{_OURS}.ffn.down",
        f"{_BLOCK}.input_layernorm": f"{_OURS}.residual.norms.attention",
        f"{_BLOCK}.post_attention_layernorm": f"{_OURS}.residual.norms.ffn",
        "gpt_neox.final_layer_norm": "decoder.final_norm",
        "embed_out": "head",
    },
    only={"is_decoder": False, "add_cross_attention": False},
    prefix="gpt_neox.",
    copies={"embed_out.weight": "gpt_neox.embed_in.weight"},
    unused=(".attention.bias", ".attention.masked_bias", ".rotary_emb.inv_freq"),
)
