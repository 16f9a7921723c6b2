"""SmolLM3 (Hugging Face 2025): LLaMA without positions in every fourth layer."""

from paribus.errors import RequestError
from paribus.families.family import Family
from paribus.families.keys import Keys
from paribus.families.known.llama import COPIES, LIKE_LLAMA, TENSORS, UNUSED
from paribus.families.meaning import ResolvedPart
from paribus.families.rotary import Rope
from paribus.families.rules import Always, ByLayer, FeedForward, Key, Worked, Written, activation
from paribus.families.windows import windowed
from paribus.model.config import ModelConfig
from paribus.parts.position.none import NoPosition


def _without(keys: Keys) -> list[bool]:
    """Whether each layer has no positions; the key says 1 where a layer has RoPE, whatever its name."""
    layers = keys.count("num_hidden_layers")
    interval = keys.count("no_rope_layer_interval", 4)
    usual = [int((layer + 1) % interval != 0) for layer in range(layers)]
    given = keys.get("no_rope_layers", usual, list)
    if len(given) != layers or any(has not in (0, 1) for has in given):
        raise RequestError(
            f"config.json: no_rope_layers has 0 or 1 for each of the {layers} layers; it has {len(given)} values"
        )
    return [not has for has in given]


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
        "attention": windowed(
            {"bias": Key("attention_bias", False, bool)},
            window=Key("sliding_window", None, nullable=True),
            slides=lambda keys, layer: _without(keys)[layer],
            switch=Key("use_sliding_window", False, bool),
        ),
        "tie_embeddings": Key("tie_word_embeddings", True, bool),
    },
    tensors=TENSORS,
    prefix="model.",
    copies=COPIES,
    unused=UNUSED,
)
