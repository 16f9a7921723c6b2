"""Qwen3 (arXiv:2505.09388): LLaMA with an RMSNorm on the queries and keys of each head."""

from paribus.families.family import Family
from paribus.families.known.llama import BLOCK, COPIES, LIKE_LLAMA, OURS, TENSORS, UNUSED
from paribus.families.rules import Always, Key, Normed
from paribus.families.windows import late_windows

FAMILY = Family(
    model_type="qwen3",
    transformers_class="Qwen3ForCausalLM",
    config={
        **LIKE_LLAMA,
        "head_dim": Key("head_dim", 128),
        "attention": late_windows(
            {
                "bias": Key("attention_bias", False, bool),
                "qk_norm": Normed("rmsnorm", {"eps": Key("rms_norm_eps", 1e-6, float)}),
                "qk_norm_over": Always("head"),
            }
        ),
    },
    tensors={
        **TENSORS,
        f"{BLOCK}.self_attn.q_norm": f"{OURS}.attention.q_norm",
        f"{BLOCK}.self_attn.k_norm": f"{OURS}.attention.k_norm",
    },
    prefix="model.",
    copies=COPIES,
    unused=UNUSED,
)
