"""The same weights in transformers' LLaMA and its relatives give the same logits: each row is one thing changed."""

from typing import Any

import pytest
import torch

from .reference import (
    D,
    G,
    H,
    Peer,
    T,
    assert_same_gradients,
    assert_same_logits,
    norms_by_head,
    norms_in_rows,
    theirs,
    tokens,
)
from .reference_names import APERTUS, GEMMA, LLAMA, OLMO_2, STABLELM

GROUPED = {"name": "gqa"}
UNBIASED_NORM = {"name": "layernorm", "bias": False}
HALF_TURNED = {"name": "rope", "fraction": 0.5}
THEIR_HALF_TURNED = {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}


def scaled_llama(rope: dict[str, Any], *, longest: int = 5, **position: Any) -> Peer:
    """LLaMA with a scaling of RoPE, and heads of six pairs to scale."""
    return Peer(
        ours={"attention": GROUPED, "num_kv_heads": G, "head_dim": 12, "position": position},
        sizes={"max_seq_len": longest},
        theirs=theirs(
            "Llama",
            rope_parameters={"rope_theta": 10000.0, **rope},
            max_position_embeddings=longest,
            head_dim=12,
        ),
        names=LLAMA,
    )


DECODERS: dict[str, Peer] = {
    "llama": Peer(ours={}, theirs=theirs("Llama", num_key_value_heads=H), names=LLAMA),
    "llama 2, grouped": Peer(
        ours={"attention": GROUPED, "num_kv_heads": G}, theirs=theirs("Llama"), names=LLAMA
    ),
    "llama, tied": Peer(
        ours={"attention": "mqa", "tie_embeddings": True},
        theirs=theirs("Llama", num_key_value_heads=1, tie_word_embeddings=True),
        names=LLAMA,
    ),
    "llama, linear positions": scaled_llama(
        {"rope_type": "linear", "factor": 3.0}, name="rope_linear", factor=3.0
    ),
    "llama, dynamic NTK past its length": scaled_llama(
        {"rope_type": "dynamic", "factor": 3.0}, name="rope_dynamic", factor=3.0
    ),
    "llama, yarn": scaled_llama(
        {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64},
        name="rope_yarn",
        factor=4.0,
        original_length=64,
        longest=256,
    ),
    "llama 3": scaled_llama(
        {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
        name="rope_llama3",
        original_length=64,
    ),
    "mistral: a window": Peer(
        ours={"attention": {"name": "gqa", "window": 3}, "num_kv_heads": G},
        theirs=theirs("Mistral", sliding_window=3),
        names=LLAMA,
    ),
    "qwen 3: norms of heads": Peer(
        ours={"attention": {"name": "gqa", "qk_norm": "rmsnorm"}, "num_kv_heads": G, "head_dim": 6},
        theirs=theirs("Qwen3", head_dim=6),
        names=LLAMA,
    ),
    "olmo 2: norms after sublayers and of the width": Peer(
        ours={
            "attention": {"name": "gqa", "qk_norm": "rmsnorm", "qk_norm_over": "width"},
            "num_kv_heads": G,
            "residual": "post_sublayer",
        },
        theirs=theirs("Olmo2"),
        names=OLMO_2,
    ),
    "gemma 2: caps, windows in every other layer, norms on both sides": Peer(
        ours={
            "attention": [
                {"name": "gqa", "softcap": 1.5, "scale": 5**-0.5, "window": 3},
                {"name": "gqa", "softcap": 1.5, "scale": 5**-0.5},
            ],
            "num_kv_heads": G,
            "norm": "rmsnorm_offset",
            "residual": "sandwich",
            "ffn": "geglu_tanh",
            "tie_embeddings": True,
            "embedding_scale": D**0.5,
            "logit_softcap": 2.5,
        },
        theirs=theirs(
            "Gemma2",
            attn_logit_softcapping=1.5,
            final_logit_softcapping=2.5,
            query_pre_attn_scalar=5,
            sliding_window=3,
            layer_types=["sliding_attention", "full_attention"],
            tie_word_embeddings=True,
        ),
        names=GEMMA,
    ),
    "gemma 3: two bases": Peer(
        ours={
            "attention": [
                {"name": "gqa", "qk_norm": "rmsnorm_offset", "window": 3, "scale": 6**-0.5},
                {"name": "gqa", "qk_norm": "rmsnorm_offset", "scale": 6**-0.5},
            ],
            "position": [{"name": "rope", "base": 100.0}, {"name": "rope", "base": 9000.0}],
            "num_kv_heads": G,
            "norm": "rmsnorm_offset",
            "residual": "sandwich",
            "ffn": "geglu_tanh",
            "tie_embeddings": True,
            "embedding_scale": D**0.5,
        },
        theirs=theirs(
            "Gemma3",
            query_pre_attn_scalar=6,
            sliding_window=3,
            layer_types=["sliding_attention", "full_attention"],
            rope_parameters={
                "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
                "full_attention": {"rope_type": "default", "rope_theta": 9000.0},
            },
            tie_word_embeddings=True,
        ),
        names=GEMMA,
    ),
    "smollm 3: every other layer without positions": Peer(
        ours={"attention": GROUPED, "num_kv_heads": G, "position": ["rope", "none"]},
        theirs=theirs("SmolLM3", no_rope_layers=[1, 0]),
        names=LLAMA,
    ),
    "cohere: parallel, interleaved, scaled logits": Peer(
        ours={
            "attention": GROUPED,
            "num_kv_heads": G,
            "position": "rope_interleaved",
            "residual": "parallel",
            "norm": UNBIASED_NORM,
            "tie_embeddings": True,
            "logit_scale": 0.25,
        },
        theirs=theirs("Cohere", logit_scale=0.25, layer_norm_eps=1e-5, tie_word_embeddings=True),
        names=LLAMA,
    ),
    "command r+: gains of each head": Peer(
        ours={
            "attention": {
                "name": "gqa",
                "qk_norm": {**UNBIASED_NORM, "eps": 1e-5},
                "qk_norm_over": "heads",
            },
            "num_kv_heads": G,
            "position": "rope_interleaved",
            "residual": "parallel",
            "norm": UNBIASED_NORM,
            "tie_embeddings": True,
            "logit_scale": 0.25,
        },
        theirs=theirs(
            "Cohere", logit_scale=0.25, layer_norm_eps=1e-5, tie_word_embeddings=True, use_qk_norm=True
        ),
        names=LLAMA,
        steps=((norms_in_rows, ""),),
    ),
    "qwen 2: biases of queries, keys and values": Peer(
        ours={"attention": {"name": "gqa", "bias": "qkv"}, "num_kv_heads": G},
        theirs=theirs("Qwen2"),
        names=LLAMA,
    ),
    "stablelm 2: gains of each head, half of the channels rotated": Peer(
        ours={
            "attention": {
                "name": "gqa",
                "bias": "qkv",
                "qk_norm": UNBIASED_NORM,
                "qk_norm_over": "heads",
            },
            "num_kv_heads": G,
            "position": HALF_TURNED,
            "residual": "parallel",
            "norm": "layernorm",
        },
        theirs=theirs(
            "StableLm",
            head_dim=None,
            use_qkv_bias=True,
            qk_layernorm=True,
            use_parallel_residual=True,
            rope_parameters=THEIR_HALF_TURNED,
        ),
        names=STABLELM,
        steps=((norms_by_head, ""),),
    ),
    "nemotron: layernorm with an offset": Peer(
        ours={
            "attention": GROUPED,
            "num_kv_heads": G,
            "position": HALF_TURNED,
            "norm": "layernorm_offset",
            "ffn": "relu2",
        },
        theirs=theirs("Nemotron", rope_parameters=THEIR_HALF_TURNED),
        names=LLAMA,
    ),
    "olmo: clipped, norms that learn nothing": Peer(
        ours={
            "attention": {"name": "gqa", "clip": 0.8},
            "num_kv_heads": G,
            "norm": {"name": "layernorm", "gain": False, "bias": False},
        },
        theirs=theirs("Olmo", clip_qkv=0.8),
        names=LLAMA,
    ),
    "arcee: squared relu": Peer(
        ours={"attention": GROUPED, "num_kv_heads": G, "ffn": "relu2"}, theirs=theirs("Arcee"), names=LLAMA
    ),
    "apertus: xielu": Peer(
        ours={
            "attention": {"name": "gqa", "qk_norm": "rmsnorm"},
            "num_kv_heads": G,
            "ffn": "xielu",
        },
        theirs=theirs("Apertus"),
        names=APERTUS,
    ),
}


@pytest.mark.parametrize("family", DECODERS)
def test_model_has_the_logits_of_transformers(family: str) -> None:
    assert_same_logits(DECODERS[family])


def test_model_has_the_gradients_of_llama() -> None:
    assert_same_gradients(DECODERS["llama 2, grouped"])


def test_float32_logits_are_those_of_llama() -> None:
    ours, theirs = (model.float() for model in DECODERS["llama"].build())
    expected = theirs(tokens(T)).logits
    torch.testing.assert_close(ours(tokens(T)), expected, rtol=2e-5, atol=2e-5 * expected.abs().max().item())
