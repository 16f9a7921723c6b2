"""Phi-3 and Phi-4-mini (arXiv:2404.14219): LLaMA with queries, keys and values in one matrix, gate and value in another."""

from paribus.families.family import Family, Laid
from paribus.families.known.llama import BLOCK, COPIES, LIKE_LLAMA, OURS, TENSORS, UNUSED
from paribus.families.layouts import Rows
from paribus.families.rotary import Rope
from paribus.families.rules import Key, Part

_FUSED = {
    f"{BLOCK}.self_attn.qkv_proj": Laid(Rows(), tuple(f"{OURS}.attention.{each}" for each in "qkv")),
    f"{BLOCK}.mlp.gate_up_proj": Laid(Rows(), (f"{OURS}.ffn.gate", f"{OURS}.ffn.value")),
}
_APART = ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj")

#: It knows one scaling, which its first configs call su, and some yarn.
_SCALINGS = {"longrope": "longrope", "su": "longrope", "yarn": "longrope"}

FAMILY = Family(
    model_type="phi3",
    transformers_class="Phi3ForCausalLM",
    config={
        **LIKE_LLAMA,
        "position": Rope(fraction=1.0, scalings=_SCALINGS, original=4096),
        "norm": Part("rmsnorm", {"eps": Key("rms_norm_eps", 1e-5, float)}),
        "attention": Part("mha", {"window": Key("sliding_window", None)}),
    },
    tensors={**{name: ours for name, ours in TENSORS.items() if not name.endswith(_APART)}, **_FUSED},
    prefix="model.",
    copies=COPIES,
    unused=UNUSED,
)
