"""Mistral 7B (arXiv:2310.06825): LLaMA with a sliding window in every layer, or in none."""

from paribus.families.family import Family
from paribus.families.known.llama import COPIES, LIKE_LLAMA, TENSORS, UNUSED
from paribus.families.rules import Key, Part

FAMILY = Family(
    model_type="mistral",
    transformers_class="MistralForCausalLM",
    config={
        **LIKE_LLAMA,
        "num_kv_heads": Key("num_key_value_heads", 8),
        "attention": Part("mha", {"window": Key("sliding_window", 4096, nullable=True)}),
    },
    tensors=TENSORS,
    prefix="model.",
    copies=COPIES,
    unused=UNUSED,
)
