"""Gemma 2 (arXiv:2408.00118): norms on both sides of a sublayer, capped logits, a window in every other layer."""

from paribus.families.family import Family
from paribus.families.keys import Keys
from paribus.families.known.gemma import GEMMA
from paribus.families.known.llama import BLOCK, COPIES, OURS, TENSORS, UNUSED
from paribus.families.rules import Always, FeedForward, Key, Worked, activation
from paribus.families.windows import windowed

_AROUND = {
    f"{BLOCK}.post_attention_layernorm": f"{OURS}.residual.output_norms.attention",
    f"{BLOCK}.pre_feedforward_layernorm": f"{OURS}.residual.norms.ffn",
    f"{BLOCK}.post_feedforward_layernorm": f"{OURS}.residual.output_norms.ffn",
}


def _every_other(keys: Keys, layer: int) -> bool:
    return layer % 2 == 0


FAMILY = Family(
    model_type="gemma2",
    transformers_class="Gemma2ForCausalLM",
    config={
        **GEMMA,
        "ffn": FeedForward(activation("hidden_activation", "gelu_pytorch_tanh"), gated=True),
        "residual": Always("sandwich"),
        "attention": windowed(
            {
                "bias": Key("attention_bias", False, bool),
                "softcap": Key("attn_logit_softcapping", 50.0, float, nullable=True),
                "scale": Worked(
                    lambda keys: keys.count("query_pre_attn_scalar", 256) ** -0.5,
                    lambda scale, config: {"query_pre_attn_scalar": round(scale**-2)},
                ),
            },
            window=Key("sliding_window", 4096, nullable=True),
            slides=_every_other,
        ),
        "logit_softcap": Key("final_logit_softcapping", 30.0, float, nullable=True),
    },
    tensors={**TENSORS, **_AROUND},
    only={"use_bidirectional_attention": None},
    prefix="model.",
    copies=COPIES,
    unused=UNUSED,
)
