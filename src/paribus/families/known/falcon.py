"""Falcon (arXiv:2311.16867), old and new: side by side behind one norm or two, or one after the other with ALiBi.

The penalty is added before the logits are divided by sqrt(head_dim), so its slopes are that much smaller.
"""

import math

from paribus.families.family import Family, Laid, Tensors
from paribus.families.keys import Keys
from paribus.families.layouts import Groups
from paribus.families.meaning import ResolvedPart
from paribus.families.rotary import Rope
from paribus.families.rules import FeedForward, Key, Part, Worked, Written, activation
from paribus.model.config import ModelConfig, PartSpec
from paribus.parts.position.alibi import ALiBi

_BLOCK = "transformer.h.{layer}"
_OURS = "decoder.blocks.{layer}"
_ROPE = Rope()
_BIAS = Key("bias", False, bool)


def _new(keys: Keys) -> bool:
    keys.known("multi_query", "parallel_attn", "num_kv_heads", "num_ln_in_parallel_attn")
    return keys.get("new_decoder_architecture", False, bool)


def _kv_heads(keys: Keys) -> int:
    heads = keys.get("num_attention_heads", kind=int)
    if _new(keys):
        return keys.get("num_kv_heads", heads, int)
    return 1 if keys.get("multi_query", True, bool) else heads


def _written_heads(heads: int, config: ModelConfig) -> Written:
    new = config.part("residual")[0].name == "parallel_separate" or 1 < heads < config.num_heads
    return {"new_decoder_architecture": new, "multi_query": heads == 1, "num_kv_heads": heads}


def _residual(keys: Keys) -> PartSpec:
    if _new(keys):
        return "parallel" if keys.get("num_ln_in_parallel_attn", 2, int) == 1 else "parallel_separate"
    return "parallel" if keys.get("parallel_attn", True, bool) else "pre"


def _written_residual(value: object, config: ModelConfig) -> Written:
    name = config.part("residual")[0].name
    return {
        "parallel_attn": name != "pre",
        "num_ln_in_parallel_attn": 2 if name == "parallel_separate" else 1,
    }


def _position(keys: Keys) -> PartSpec:
    keys.known("rope_parameters", "rope_theta", "rope_scaling")
    if not keys.get("alibi", False, bool):
        return _ROPE.read(keys)
    heads, width = keys.count("num_attention_heads"), keys.count("hidden_size")
    return {"name": "alibi", "scale": math.sqrt(heads / width)}


def _written_position(value: tuple[ResolvedPart, ...], config: ModelConfig) -> Written:
    alibi = value[0].factory is ALiBi
    return {"alibi": alibi, **({} if alibi else _ROPE.write(value, config))}


def _tensors(config: ModelConfig) -> Tensors:
    norms = {
        "parallel": {"input_layernorm": "shared"},
        "parallel_separate": {"ln_attn": "attention", "ln_mlp": "ffn"},
    }.get(
        config.part("residual")[0].name, {"input_layernorm": "attention", "post_attention_layernorm": "ffn"}
    )
    return {
        "transformer.word_embeddings": "embedding",
        f"{_BLOCK}.self_attention.query_key_value": Laid(
            Groups(), tuple(f"{_OURS}.attention.{each}" for each in "qkv")
        ),
        f"{_BLOCK}.self_attention.dense": f"{_OURS}.attention.o",
        f"{_BLOCK}.mlp.dense_h_to_4h": f"{_OURS}.ffn.up",
        f"{_BLOCK}.mlp.dense_4h_to_h": f"{_OURS}.ffn.down",
        **{f"{_BLOCK}.{theirs}": f"{_OURS}.residual.norms.{ours}" for theirs, ours in norms.items()},
        "transformer.ln_f": "decoder.final_norm",
        "lm_head": "head",
    }


FAMILY = Family(
    model_type="falcon",
    transformers_class="FalconForCausalLM",
    config={
        "vocab_size": Key("vocab_size"),
        "d_model": Key("hidden_size"),
        "d_ff": Key("ffn_hidden_size", lambda keys: 4 * keys.get("hidden_size", kind=int)),
        "num_layers": Key("num_hidden_layers", also=("n_layer",)),
        "num_heads": Key("num_attention_heads", also=("n_head",)),
        "num_kv_heads": Worked(_kv_heads, _written_heads),
        "max_seq_len": Key("max_position_embeddings", 2048),
        "ffn": FeedForward(activation("activation", "gelu"), gated=False, bias=_BIAS),
        "norm": Part("layernorm", {"eps": Key("layer_norm_epsilon", 1e-5, float)}),
        "residual": Worked(_residual, _written_residual),
        "position": Worked(_position, _written_position),
        "attention": Part("mha", {"bias": _BIAS}),
        "tie_embeddings": Key("tie_word_embeddings", True, bool),
    },
    tensors=_tensors,
    prefix="transformer.",
    copies={"lm_head.weight": "transformer.word_embeddings.weight"},
)
