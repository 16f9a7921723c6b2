"""SmolLM3 (Hugging Face 2025): LLaMA without positions in every fourth layer."""

from paribus.families.family import Family
from paribus.families.keys import Keys
from paribus.families.known.llama import COPIES, LIKE_LLAMA, TENSORS, UNUSED
from paribus.families.meaning import ResolvedPart
from paribus.families.rotary import Rope
from paribus.families.rules import Always, ByLayer, FeedForward, Key, Worked, Written, activation
from paribus.families.windows import late_windows
from paribus.model.config import ModelConfig
from paribus.parts.position.none import NoPosition


def _without(keys: Keys) -> list[bool]:
    """Whether each layer has no positions; the key says 1 where a layer has RoPE, whatever its name."""
    layers = keys.get("num_hidden_layers", kind=int)
    interval = keys.get("no_rope_layer_interval", 4, int)
    usual = [int((layer + 1) % interval != 0) for layer in range(layers)]
    return [not has for has in keys.get("no_rope_layers", usual, list)]


def _written(without: list[bool], config: ModelConfig) -> Written:
    return {"no_rope_layers": [int(not each) for each in without]}


def _has_none(part: ResolvedPart) -> bool:
    return part.factory is NoPosition


FAMILY = Family(
    model_type="smollm3",
    transformers_class="SmolLM3ForCausalLM",
    config={
        **LIKE_LLAMA,
        "head_dim": Always(None),
        "ffn": FeedForward(activation("hidden_act", "silu"), gated=True, bias=Key("mlp_bias", False, bool)),
        "position": ByLayer(
            usual=Rope(base=2_000_000.0),
            other=Always("none"),
            where=Worked(_without, _written),
            is_other=_has_none,
        ),
        "attention": late_windows({"bias": Key("attention_bias", False, bool)}),
        "tie_embeddings": Key("tie_word_embeddings", True, bool),
    },
    tensors=TENSORS,
    prefix="model.",
    copies=COPIES,
    unused=UNUSED,
)
