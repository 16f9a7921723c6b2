"""Nemotron (arXiv:2402.16819): LayerNorm with gains of 1 + g, squared ReLU, no gate."""

from paribus.families.family import Family
from paribus.families.known.llama import BLOCK, COPIES, LIKE_LLAMA, OURS, TENSORS, UNUSED
from paribus.families.rotary import Rope
from paribus.families.rules import FeedForward, Key, Part, activation

FAMILY = Family(
    model_type="nemotron",
    transformers_class="NemotronForCausalLM",
    config={
        **LIKE_LLAMA,
        "ffn": FeedForward(activation("hidden_act", "relu2"), gated=False, bias=Key("mlp_bias", False, bool)),
        "norm": Part("layernorm_offset", {"eps": Key("norm_eps", 1e-5, float)}),
        "position": Rope(fraction=0.5),
        "attention": Part("mha", {"bias": Key("attention_bias", False, bool)}),
    },
    tensors={**TENSORS, f"{BLOCK}.mlp.up_proj": f"{OURS}.ffn.up"},
    prefix="model.",
    copies=COPIES,
    unused=UNUSED,
)
