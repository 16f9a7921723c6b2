"""StableLM (2 1.6B, 3B, 2 12B; arXiv:2402.17834): LLaMA with LayerNorms, partial RoPE and, in some, per-head norms."""

from paribus.families.family import Family, Laid, Tensors
from paribus.families.known.llama import BLOCK, COPIES, LIKE_LLAMA, OURS, TENSORS, UNUSED
from paribus.families.layouts import OneAHead
from paribus.families.rotary import Rope
from paribus.families.rules import Always, Choice, Key, Normed, Part
from paribus.model.config import ModelConfig

_EPS = Key("layer_norm_eps", 1e-5, float)
_HEADS = {
    f"{BLOCK}.self_attn.{each}_layernorm.norms.{{head}}": Laid(OneAHead(), (f"{OURS}.attention.{each}_norm",))
    for each in "qk"
}


def _tensors(config: ModelConfig) -> Tensors:
    shared = {f"{BLOCK}.input_layernorm": f"{OURS}.residual.norms.shared"}
    side_by_side = config.part("residual")[0].name == "parallel"
    return {**TENSORS, **_HEADS, **(shared if side_by_side else {})}


FAMILY = Family(
    model_type="stablelm",
    transformers_class="StableLmForCausalLM",
    config={
        **LIKE_LLAMA,
        "head_dim": Always(None),
        "norm": Part("layernorm", {"eps": _EPS}),
        "residual": Part(Choice(Key("use_parallel_residual", False, bool), {True: "parallel", False: "pre"})),
        "position": Rope(fraction=0.25),
        "attention": Part(
            "mha",
            {
                "bias": Choice(Key("use_qkv_bias", False, bool), {True: "qkv", False: False}),
                "qk_norm": Normed(
                    "layernorm", {"eps": _EPS, "bias": Always(False)}, when=Key("qk_layernorm", False, bool)
                ),
                "qk_norm_over": Choice(Key("qk_layernorm", False, bool), {True: "heads", False: "head"}),
            },
        ),
    },
    tensors=_tensors,
    prefix="model.",
    copies=COPIES,
    unused=UNUSED,
)
