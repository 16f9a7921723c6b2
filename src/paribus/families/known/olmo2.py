"""OLMo 2 (arXiv:2501.00656): norms after the sublayers, and on whole queries and keys."""

from paribus.families.family import Family
from paribus.families.known.llama import BLOCK, COPIES, LIKE_LLAMA, OURS, TENSORS, UNUSED
from paribus.families.rules import Always, Key, Normed, Part

_EPS = Key("rms_norm_eps", 1e-5, float)
_AFTER = {
    f"{BLOCK}.post_attention_layernorm": f"{OURS}.residual.norms.attention",
    f"{BLOCK}.post_feedforward_layernorm": f"{OURS}.residual.norms.ffn",
    f"{BLOCK}.self_attn.q_norm": f"{OURS}.attention.q_norm",
    f"{BLOCK}.self_attn.k_norm": f"{OURS}.attention.k_norm",
}

FAMILY = Family(
    model_type="olmo2",
    transformers_class="Olmo2ForCausalLM",
    config={
        **LIKE_LLAMA,
        "norm": Part("rmsnorm", {"eps": _EPS}),
        "residual": Always("post_sublayer"),
        "attention": Part(
            "mha",
            {
                "bias": Key("attention_bias", False, bool),
                "qk_norm": Normed("rmsnorm", {"eps": _EPS}),
                "qk_norm_over": Always("width"),
            },
        ),
    },
    tensors={**{name: ours for name, ours in TENSORS.items() if "layernorm" not in name}, **_AFTER},
    prefix="model.",
    copies=COPIES,
    unused=UNUSED,
)
