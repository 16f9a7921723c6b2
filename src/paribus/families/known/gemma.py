"""Gemma (arXiv:2403.08295): gains of 1 + g, embeddings times sqrt(d_model), GEGLU in its tanh form."""

from paribus.families.family import Family
from paribus.families.known.llama import COPIES, LIKE_LLAMA, TENSORS, UNUSED
from paribus.families.rules import Choice, FeedForward, Key, Part, Rule, Worked, activation

#: The first configs say gelu and mean the tanh form.
_ACTIVATION = activation("hidden_act", "gelu_pytorch_tanh")
_TANH = Choice(_ACTIVATION.key, {**_ACTIVATION.values, "gelu": "gelu_tanh"})
GEMMA: dict[str, Rule] = {
    **LIKE_LLAMA,
    "head_dim": Key("head_dim", 256),
    "norm": Part("rmsnorm_offset", {"eps": Key("rms_norm_eps", 1e-6, float)}),
    "embedding_scale": Worked(lambda keys: keys.count("hidden_size") ** 0.5),
    "tie_embeddings": Key("tie_word_embeddings", True, bool),
}

FAMILY = Family(
    model_type="gemma",
    transformers_class="GemmaForCausalLM",
    config={
        **GEMMA,
        "ffn": FeedForward(_TANH, gated=True),
        "attention": Part("mha", {"bias": Key("attention_bias", False, bool)}),
    },
    tensors=TENSORS,
    only={"use_bidirectional_attention": None},
    prefix="model.",
    copies=COPIES,
    unused=UNUSED,
)
