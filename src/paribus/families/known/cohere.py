"""Command R (Cohere 2024): side by side behind one LayerNorm without bias, interleaved RoPE, scaled logits."""

from paribus.families.family import Family, Laid
from paribus.families.known.llama import BLOCK, COPIES, LIKE_LLAMA, OURS, TENSORS, UNUSED
from paribus.families.layouts import ByHead
from paribus.families.rotary import Rope
from paribus.families.rules import Always, Choice, Key, Normed, Part, Rule

_NORM: dict[str, Rule] = {"eps": Key("layer_norm_eps", 1e-5, float), "bias": Always(False)}

FAMILY = Family(
    model_type="cohere",
    transformers_class="CohereForCausalLM",
    config={
        **LIKE_LLAMA,
        "norm": Part("layernorm", _NORM),
        "residual": Always("parallel"),
        "position": Rope(base=500_000.0, layout="interleaved"),
        "attention": Part(
            "mha",
            {
                "bias": Key("attention_bias", False, bool),
                "qk_norm": Normed("layernorm", _NORM, when=Key("use_qk_norm", False, bool)),
                "qk_norm_over": Choice(Key("use_qk_norm", False, bool), {True: "heads", False: "head"}),
            },
        ),
        "tie_embeddings": Key("tie_word_embeddings", True, bool),
        "logit_scale": Key("logit_scale", 0.0625, float),
    },
    tensors={
        **TENSORS,
        f"{BLOCK}.input_layernorm": f"{OURS}.residual.norms.shared",
        **{
            f"{BLOCK}.self_attn.{each}_norm": Laid(ByHead(), (f"{OURS}.attention.{each}_norm",))
            for each in "qk"
        },
    },
    prefix="model.",
    copies=COPIES,
    unused=UNUSED,
)
