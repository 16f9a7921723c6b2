"""Phi-1, 1.5 and 2 (arXiv:2309.05463): side by side behind one LayerNorm, partial RoPE, biases everywhere."""

from paribus.families.family import Family
from paribus.families.known.llama import BLOCK, COPIES, OURS, SIZES, UNUSED
from paribus.families.rotary import Rope
from paribus.families.rules import Always, FeedForward, Key, Normed, Part, activation

_EPS = Key("layer_norm_eps", 1e-5, float)

FAMILY = Family(
    model_type="phi",
    transformers_class="PhiForCausalLM",
    config={
        **SIZES,
        "max_seq_len": Key("max_position_embeddings", 2048),
        "ffn": FeedForward(activation("hidden_act", "gelu_new"), gated=False, bias=Always(True)),
        "norm": Part("layernorm", {"eps": _EPS}),
        "residual": Always("parallel"),
        "position": Rope(fraction=0.5),
        "attention": Part(
            "mha",
            {
                "bias": Always(True),
                "qk_norm": Normed("layernorm", {"eps": _EPS}, when=Key("qk_layernorm", False, bool)),
            },
        ),
        "tie_embeddings": Key("tie_word_embeddings", False, bool),
        "head_bias": Always(True),
    },
    tensors={
        "model.embed_tokens": "embedding",
        **{f"{BLOCK}.self_attn.{each}_proj": f"{OURS}.attention.{each}" for each in "qkv"},
        f"{BLOCK}.self_attn.dense": f"{OURS}.attention.o",
        f"{BLOCK}.self_attn.q_layernorm": f"{OURS}.attention.q_norm",
        f"{BLOCK}.self_attn.k_layernorm": f"{OURS}.attention.k_norm",
        f"{BLOCK}.mlp.fc1": f"{OURS}.ffn.up",
        f"{BLOCK}.mlp.fc2": f"{OURS}.ffn.down",
        f"{BLOCK}.input_layernorm": f"{OURS}.residual.norms.shared",
        "model.final_layernorm": "decoder.final_norm",
        "lm_head": "head",
    },
    prefix="model.",
    copies=COPIES,
    unused=UNUSED,
)
