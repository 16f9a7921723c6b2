"""The same weights in transformers' own attention modules give the same output: one module an option.

Whole models of these and other families are in `tests/model/test_reference.py`.
"""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    BertConfig,
    Gemma2Config,
    GptOssConfig,
    LlamaConfig,
    Olmo2Config,
    Qwen3Config,
    T5Config,
)
from transformers.models.bert.modeling_bert import BertSelfAttention
from transformers.models.gemma2.modeling_gemma2 import Gemma2Attention
from transformers.models.gpt_oss.modeling_gpt_oss import GptOssAttention
from transformers.models.llama.modeling_llama import LlamaAttention, LlamaRotaryEmbedding
from transformers.models.olmo2.modeling_olmo2 import Olmo2Attention
from transformers.models.qwen3.modeling_qwen3 import Qwen3Attention
from transformers.models.t5.modeling_t5 import T5Attention

from .attending import Attending, attending
from .comparison import tokens

D, H, G, K, T = 12, 4, 2, 6, 7
SIZES: dict[str, Any] = {
    "hidden_size": D,
    "num_attention_heads": H,
    "num_key_value_heads": G,
    "head_dim": K,
    "attn_implementation": "eager",
}
#: Ours -> theirs, after `attention.`.
NAMES = {"q": "q_proj", "k": "k_proj", "v": "v_proj", "o": "o_proj", "sinks": "sinks"}
NAMES |= {f"{each}_norm": f"{each}_norm" for each in "qk"}


def copied(ours: Attending, theirs: nn.Module, names: dict[str, str]) -> nn.Module:
    """Theirs in float64 with our weights; each of its parameters must get one."""
    left = dict(theirs.double().eval().named_parameters())
    with torch.no_grad():
        for name, parameter in ours.attention.named_parameters():
            owner, *kind = name.split(".")
            left.pop(".".join((names[owner], *kind))).copy_(parameter)
    assert not left
    return theirs


def added_mask(*, causal: bool = True, window: int | None = None, valid: Tensor | None = None) -> Tensor:
    """-inf where a key is hidden, [B or 1, 1, T, T]."""
    away = torch.arange(T)[:, None] - torch.arange(T)
    hidden = (away < 0) if causal else torch.zeros(T, T, dtype=torch.bool)
    hidden = hidden if window is None else hidden | (away >= window)
    hidden = hidden[None, None] if valid is None else hidden[None, None] | ~valid[:, None, None, :]
    return torch.zeros(hidden.shape, dtype=torch.float64).masked_fill(hidden, float("-inf"))


def angles() -> tuple[Tensor, Tensor]:
    """Cosines and sines of the rotation that the modules take from outside, as LLaMA's own class makes them."""
    config = LlamaConfig(**SIZES, rope_parameters={"rope_type": "default", "rope_theta": 10000.0})
    return LlamaRotaryEmbedding(config)(torch.zeros(1, T, D, dtype=torch.float64), torch.arange(T)[None])


ROTARY = {
    "llama with grouped heads": (LlamaAttention, LlamaConfig(**SIZES), "gqa", {}),
    "llama with one key head": (
        LlamaAttention,
        LlamaConfig(**{**SIZES, "num_key_value_heads": 1}),
        "mqa",
        {},
    ),
    "llama with biases": (LlamaAttention, LlamaConfig(**SIZES, attention_bias=True), "gqa", {"bias": True}),
    "qwen3: norms of heads": (
        Qwen3Attention,
        Qwen3Config(**SIZES, rms_norm_eps=1e-6),
        "gqa",
        {"qk_norm": "rmsnorm"},
    ),
    "olmo2: norms of the width": (
        Olmo2Attention,
        Olmo2Config(**SIZES, rms_norm_eps=1e-6),
        "gqa",
        {"qk_norm": "rmsnorm", "qk_norm_over": "width"},
    ),
    "gemma2: cap, window and scale": (
        Gemma2Attention,
        Gemma2Config(**SIZES, attn_logit_softcapping=1.5, query_pre_attn_scalar=5, sliding_window=3),
        "gqa",
        {"softcap": 1.5, "scale": 5**-0.5, "window": 3},
    ),
    "gpt-oss: sinks and window": (
        GptOssAttention,
        GptOssConfig(**SIZES, attention_bias=True, sliding_window=3),
        "gqa",
        {"sinks": True, "window": 3, "bias": True},
    ),
}


@pytest.mark.parametrize("what", ROTARY)
def test_layer_is_that_of_transformers(what: str) -> None:
    kind, config, name, options = ROTARY[what]
    given = {"num_kv_heads": G} if name == "gqa" else {}
    ours = attending(name, position="rope", d_model=D, num_heads=H, head_dim=K, longest=T, **given, **options)
    theirs = copied(ours, kind(config, layer_idx=0), NAMES)
    x = tokens(2, T, D)
    # gpt-oss takes each pair's angle once, the others twice.
    pairs = slice(K // 2 if kind is GptOssAttention else K)
    cos, sin = (each[..., pairs] for each in angles())
    exact, _ = theirs(
        x, position_embeddings=(cos, sin), attention_mask=added_mask(window=options.get("window"))
    )
    torch.testing.assert_close(ours(x), exact, rtol=3e-6, atol=3e-6)


def test_bidirectional_padded_layer_is_that_of_bert() -> None:
    ours = attending(d_model=H * K, num_heads=H, head_dim=K, causal=False, bias=True)
    config = BertConfig(
        hidden_size=H * K,
        num_attention_heads=H,
        attention_probs_dropout_prob=0.0,
        attn_implementation="eager",
    )
    theirs = BertSelfAttention(config).double().eval()
    with torch.no_grad():
        for name, peer in {"q": theirs.query, "k": theirs.key, "v": theirs.value}.items():
            for kind in ("weight", "bias"):
                peer.get_parameter(kind).copy_(ours.attention.get_submodule(name).get_parameter(kind))
    x, valid = tokens(2, T, H * K), torch.arange(T) < torch.tensor([[T], [4]])
    inner, _ = theirs(x, attention_mask=added_mask(causal=False, valid=valid))
    exact = ours.attention.o(inner)
    torch.testing.assert_close(ours(x, valid=valid), exact, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("causal", [False, True])
def test_unscaled_layer_with_relative_biases_is_that_of_t5(causal: bool) -> None:
    position = {"name": "t5", "num_buckets": 8, "max_distance": 6}  # small, so that far buckets are used
    ours = attending(position=position, d_model=D, num_heads=H, head_dim=K, causal=causal, scale=1.0)
    config = T5Config(
        d_model=D,
        d_kv=K,
        num_heads=H,
        relative_attention_num_buckets=8,
        relative_attention_max_distance=6,
        is_decoder=causal,
        dropout_rate=0.0,
        attn_implementation="eager",
    )
    theirs = T5Attention(config, has_relative_attention_bias=True, layer_idx=0).double().eval()
    with torch.no_grad():
        theirs.relative_attention_bias.weight.copy_(ours.position.weight)
        for name in "qkvo":
            theirs.get_submodule(name).weight.copy_(ours.attention.get_submodule(name).weight)
    x = tokens(2, T, D)
    exact, _, _ = theirs(x, mask=added_mask(causal=causal))
    torch.testing.assert_close(ours(x), exact, rtol=1e-12, atol=1e-12)


def test_cross_layer_is_that_of_t5() -> None:
    ours = attending(d_model=D, num_heads=H, head_dim=K, cross=True, scale=1.0)
    config = T5Config(d_model=D, d_kv=K, num_heads=H, dropout_rate=0.0, attn_implementation="eager")
    theirs = T5Attention(config, layer_idx=0).double().eval()
    with torch.no_grad():
        for name in "qkvo":
            theirs.get_submodule(name).weight.copy_(ours.attention.get_submodule(name).weight)
    x, memory = tokens(2, 5, D), tokens(2, T, D, seed=2)
    valid = torch.arange(T) < torch.tensor([[T], [4]])
    mask = added_mask(causal=False, valid=valid)[:, :, :1]
    exact, _, _ = theirs(x, mask=mask, key_value_states=memory)
    torch.testing.assert_close(ours(x, memory=memory, memory_valid=valid), exact, rtol=1e-12, atol=1e-12)
