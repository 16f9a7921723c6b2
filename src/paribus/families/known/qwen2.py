"""Qwen2 and Qwen2.5 (arXiv:2407.10671): LLaMA with biases on queries, keys and values only."""

from paribus.families.family import Family
from paribus.families.known.llama import COPIES, LIKE_LLAMA, TENSORS, UNUSED
from paribus.families.rules import Always
from paribus.families.windows import late_windows

FAMILY = Family(
    model_type="qwen2",
    transformers_class="Qwen2ForCausalLM",
    config={**LIKE_LLAMA, "attention": late_windows({"bias": Always("qkv")})},
    tensors=TENSORS,
    prefix="model.",
    copies=COPIES,
    unused=UNUSED,
)
