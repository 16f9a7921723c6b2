"""OPT (arXiv:2205.01068): learned positions whose table starts with two rows that no token has."""

from paribus.errors import RequestError
from paribus.families.family import Family
from paribus.families.keys import Keys
from paribus.families.rules import Always, Choice, FeedForward, Key, Part, Worked, activation

_BLOCK = "model.decoder.layers.{layer}"
_OURS = "decoder.blocks.{layer}"
_BIAS = Key("enable_bias", True, bool)


def _final_norm(keys: Keys) -> bool:
    removed = keys.get("_remove_final_layer_norm", False, bool)
    return keys.get("do_layer_norm_before", True, bool) and not removed


def _width(keys: Keys) -> int:
    width = keys.get("hidden_size", kind=int)
    if (narrow := keys.get("word_embed_proj_dim", width, int)) != width:
        raise RequestError(
            f"config.json: embeddings are {narrow} wide and the layers {width}, and no part here goes from one to the "
            "other"
        )
    return width


FAMILY = Family(
    model_type="opt",
    transformers_class="OPTForCausalLM",
    config={
        "vocab_size": Key("vocab_size"),
        "d_model": Worked(_width, lambda width, config: {"hidden_size": width, "word_embed_proj_dim": width}),
        "d_ff": Key("ffn_dim"),
        "num_layers": Key("num_hidden_layers"),
        "num_heads": Key("num_attention_heads"),
        "max_seq_len": Key("max_position_embeddings", 2048),
        "ffn": FeedForward(activation("activation_function", "relu"), gated=False, bias=_BIAS),
        "norm": Always("layernorm"),
        "residual": Part(Choice(Key("do_layer_norm_before", True, bool), {True: "pre", False: "post"})),
        "position": Always({"name": "learned", "offset": 2}),
        "attention": Part("mha", {"bias": _BIAS}),
        "tie_embeddings": Key("tie_word_embeddings", True, bool),
        "final_norm": Worked(_final_norm),
    },
    tensors={
        "model.decoder.embed_tokens": "embedding",
        "model.decoder.embed_positions": "decoder.position",
        **{f"{_BLOCK}.self_attn.{each}_proj": f"{_OURS}.attention.{each}" for each in "qkv"},
        f"{_BLOCK}.self_attn.out_proj": f"{_OURS}.attention.o",
        f"{_BLOCK}.fc1": f"{_OURS}.ffn.up",
        f"{_BLOCK}.fc2": f"{_OURS}.ffn.down",
        f"{_BLOCK}.self_attn_layer_norm": f"{_OURS}.residual.norms.attention",
        f"{_BLOCK}.final_layer_norm": f"{_OURS}.residual.norms.ffn",
        "model.decoder.final_layer_norm": "decoder.final_norm",
        "lm_head": "head",
    },
    only={"layer_norm_elementwise_affine": True},
    prefix="model.",
    copies={"lm_head.weight": "model.decoder.embed_tokens.weight"},
)
