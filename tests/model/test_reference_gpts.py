"""The same weights in transformers' GPTs, ALiBi and parallel models give the same logits."""

from typing import Any

import pytest
import transformers as tf

from .reference import (
    LONGEST,
    D,
    F,
    G,
    H,
    K,
    L,
    Peer,
    V,
    assert_same_gradients,
    assert_same_logits,
    qkv_by_group,
    qkv_in_thirds,
    theirs,
    transposed,
)
from .reference_names import BLOOM, GPT2, GPTJ, MPT, NEO, NEOX, OPT, PHI

BIASED = {"name": "mha", "bias": True}
TIED = {"tie_embeddings": True}
UNBIASED_NORM = {"name": "layernorm", "bias": False}


def with_bias(ffn: str) -> dict[str, Any]:
    return {"name": ffn, "bias": True}


def falcon(**changes: Any) -> Any:
    # Not eager: with alibi that form adds the penalty twice, in the logits and in the mask.
    return lambda: tf.FalconForCausalLM(
        tf.FalconConfig(
            vocab_size=V,
            hidden_size=D,
            ffn_hidden_size=F,
            num_hidden_layers=L,
            num_attention_heads=H,
            attn_implementation="sdpa",
            **changes,
        )
    )


DECODERS: dict[str, Peer] = {
    "gpt-2": Peer(
        ours={
            "ffn": with_bias("gelu_tanh"),
            "attention": BIASED,
            "norm": "layernorm",
            "position": "learned",
            "tie_embeddings": True,
        },
        theirs=lambda: tf.GPT2LMHeadModel(
            tf.GPT2Config(
                vocab_size=V,
                n_embd=D,
                n_inner=F,
                n_layer=L,
                n_head=H,
                n_positions=LONGEST,
                attn_implementation="eager",
            )
        ),
        names=GPT2,
        steps=((qkv_in_thirds, "c_attn"), (transposed, "")),
    ),
    "opt": Peer(
        ours={
            "ffn": with_bias("relu"),
            "attention": BIASED,
            "norm": "layernorm",
            "position": {"name": "learned", "offset": 2},
            "tie_embeddings": True,
        },
        theirs=lambda: tf.OPTForCausalLM(
            tf.OPTConfig(
                vocab_size=V,
                hidden_size=D,
                word_embed_proj_dim=D,
                ffn_dim=F,
                num_hidden_layers=L,
                num_attention_heads=H,
                max_position_embeddings=LONGEST,
                attn_implementation="eager",
            )
        ),
        names=OPT,
    ),
    "gpt-neox: parallel with two norms, half of the channels rotated": Peer(
        ours={
            "ffn": with_bias("gelu"),
            "attention": BIASED,
            "norm": "layernorm",
            "position": {"name": "rope", "fraction": 0.5},
            "residual": "parallel_separate",
        },
        theirs=theirs(
            "GPTNeoX",
            num_key_value_heads=None,
            head_dim=None,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5},
        ),
        names=NEOX,
        steps=((qkv_by_group, "query_key_value"),),
    ),
    "gpt-neox, sequential": Peer(
        ours={
            "ffn": with_bias("gelu"),
            "attention": BIASED,
            "norm": "layernorm",
            "position": {"name": "rope", "fraction": 0.5},
        },
        theirs=theirs(
            "GPTNeoX",
            num_key_value_heads=None,
            head_dim=None,
            use_parallel_residual=False,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5},
        ),
        names=NEOX,
        steps=((qkv_by_group, "query_key_value"),),
    ),
    "gpt-j: parallel with one norm, interleaved": Peer(
        ours={
            "ffn": with_bias("gelu_tanh"),
            "norm": "layernorm",
            "position": {"name": "rope_interleaved", "fraction": 0.5},
            "residual": "parallel",
            "head_bias": True,
        },
        theirs=lambda: tf.GPTJForCausalLM(
            tf.GPTJConfig(
                vocab_size=V,
                n_embd=D,
                n_inner=F,
                n_layer=L,
                n_head=H,
                rotary_dim=K // 2,
                n_positions=LONGEST,
                attn_implementation="eager",
            )
        ),
        names=GPTJ,
    ),
    "phi": Peer(
        ours={
            "ffn": with_bias("gelu_tanh"),
            "attention": BIASED,
            "norm": "layernorm",
            "position": {"name": "rope", "fraction": 0.5},
            "residual": "parallel",
            "head_bias": True,
        },
        theirs=theirs(
            "Phi",
            num_key_value_heads=H,
            head_dim=None,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5},
        ),
        names=PHI,
    ),
    "bloom: alibi, a norm after the embedding": Peer(
        ours={
            "ffn": with_bias("gelu_tanh"),
            "attention": BIASED,
            "norm": "layernorm",
            "position": "alibi",
            "embedding_norm": True,
            "tie_embeddings": True,
        },
        sizes={"d_ff": 4 * D},
        theirs=lambda: tf.BloomForCausalLM(
            tf.BloomConfig(vocab_size=V, hidden_size=D, n_layer=L, n_head=H, attn_implementation="eager")
        ),
        names=BLOOM,
        steps=((qkv_by_group, "query_key_value"),),
    ),
    "mpt: alibi without biases": Peer(
        ours={"ffn": "gelu", "norm": UNBIASED_NORM, "position": "alibi", "tie_embeddings": True},
        sizes={"d_ff": 4 * D},
        theirs=lambda: tf.MptForCausalLM(
            tf.MptConfig(vocab_size=V, d_model=D, n_layers=L, n_heads=H, max_seq_len=LONGEST)
        ),
        names=MPT,
        steps=((qkv_in_thirds, "Wqkv"),),
    ),
    "mpt, clipped": Peer(
        ours={
            "ffn": "gelu",
            "attention": {"name": "mha", "clip": 0.8},
            "norm": UNBIASED_NORM,
            "position": "alibi",
            "tie_embeddings": True,
        },
        sizes={"d_ff": 4 * D},
        theirs=lambda: tf.MptForCausalLM(
            tf.MptConfig(
                vocab_size=V,
                d_model=D,
                n_layers=L,
                n_heads=H,
                max_seq_len=LONGEST,
                attn_config={"clip_qkv": 0.8},
            )
        ),
        names=MPT,
        steps=((qkv_in_thirds, "Wqkv"),),
    ),
    "gpt-neo: a bias of the output alone, windows in every other layer, no scale": Peer(
        ours={
            "ffn": with_bias("gelu_tanh"),
            "attention": [
                {"name": "mha", "bias": "o", "scale": 1.0},
                {"name": "mha", "bias": "o", "scale": 1.0, "window": 3},
            ],
            "norm": "layernorm",
            "position": "learned",
            "tie_embeddings": True,
        },
        theirs=lambda: tf.GPTNeoForCausalLM(
            tf.GPTNeoConfig(
                vocab_size=V,
                hidden_size=D,
                intermediate_size=F,
                num_layers=L,
                num_heads=H,
                attention_types=[[["global", "local"], 1]],
                window_size=3,
                max_position_embeddings=LONGEST,
                attn_implementation="eager",
            )
        ),
        names=NEO,
    ),
    "falcon 1b: alibi before the scale": Peer(
        ours={
            "ffn": with_bias("gelu"),
            "attention": BIASED,
            "norm": "layernorm",
            "position": {"name": "alibi", "scale": K**-0.5},
            "tie_embeddings": True,
        },
        theirs=falcon(alibi=True, bias=True, parallel_attn=False, multi_query=False),
        names=BLOOM,
        steps=((qkv_by_group, "query_key_value"),),
    ),
    "falcon 7b: parallel with one norm": Peer(
        ours={"ffn": "gelu", "attention": "mqa", "norm": "layernorm", "residual": "parallel", **TIED},
        theirs=falcon(),
        names={**BLOOM, ".residual.norms.shared.": ".input_layernorm."},
        steps=((qkv_by_group, "query_key_value"),),
    ),
    "falcon 40b: parallel with two norms": Peer(
        ours={
            "ffn": "gelu",
            "attention": "gqa",
            "num_kv_heads": G,
            "norm": "layernorm",
            "residual": "parallel_separate",
            **TIED,
        },
        theirs=falcon(new_decoder_architecture=True, num_kv_heads=G, num_ln_in_parallel_attn=2),
        names={
            **BLOOM,
            ".residual.norms.self_attention.": ".ln_attn.",
            ".residual.norms.ffn.": ".ln_mlp.",
        },
        steps=((qkv_by_group, "query_key_value"),),
    ),
}


@pytest.mark.parametrize("family", DECODERS)
def test_model_has_the_logits_of_transformers(family: str) -> None:
    assert_same_logits(DECODERS[family])


def test_model_has_the_gradients_of_gpt2() -> None:
    assert_same_gradients(DECODERS["gpt-2"])
