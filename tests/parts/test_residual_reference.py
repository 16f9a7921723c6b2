"""Placements against torch's and transformers' own layers, which hand over their attention, norms and feed-forward.

Only the placement is ours, so nothing but the order of operations can differ.
"""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers.models.gemma2.modeling_gemma2 import Gemma2Config, Gemma2DecoderLayer
from transformers.models.gpt_neox.modeling_gpt_neox import GPTNeoXConfig, GPTNeoXLayer
from transformers.models.gptj.modeling_gptj import GPTJBlock, GPTJConfig
from transformers.models.olmo2.modeling_olmo2 import Olmo2Config, Olmo2DecoderLayer

from paribus import registry
from paribus.parts.residual.base import Depth, Residual, Sublayer

from .comparison import draw, tokens

D, T = 8, 3
SIZES = {"hidden_size": D, "intermediate_size": 12, "num_attention_heads": 2, "num_key_value_heads": 2}
UNROTATED = (torch.ones(1, T, 4), torch.zeros(1, T, 4))  # cosines and sines of no rotation


def build(name: str, norms: Mapping[str, nn.Module], sublayers: tuple[str, ...]) -> Residual:
    """The placement with its norms, by their full names, replaced by the peer's."""
    encoder = 2 if "cross_attention" in sublayers else 0
    residual = registry.get("residual", name).build(
        sublayers=sublayers,
        depth=Depth(stack="decoder", encoder_layers=encoder, decoder_layers=2),
        norm=nn.Identity,
    )
    assert isinstance(residual, Residual)
    for full, norm in norms.items():
        kind, sublayer = full.split(".")
        assert sublayer in getattr(residual, kind), full
        getattr(residual, kind)[sublayer] = norm
    assert not any(isinstance(module, nn.Identity) for module in residual.modules())
    return residual


def assert_placed(
    name: str,
    peer: Callable[[Tensor], Tensor],
    norms: Mapping[str, nn.Module],
    sublayers: Mapping[str, Sublayer],
) -> None:
    x = tokens(2, T, D, dtype=torch.float32).detach()
    residual = build(name, norms, tuple(sublayers))
    torch.testing.assert_close(residual(x, sublayers), peer(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("name", "norm_first"), [("post", False), ("pre", True)])
def test_pre_and_post_are_those_of_torchs_encoder_layer(name: str, norm_first: bool) -> None:
    peer = draw(nn.TransformerEncoderLayer(D, 1, 12, dropout=0.0, norm_first=norm_first, batch_first=True))
    assert_placed(
        name,
        peer,
        {"norms.attention": peer.norm1, "norms.ffn": peer.norm2},
        {
            "attention": lambda x: peer.self_attn(x, x, x, need_weights=False)[0],
            "ffn": lambda x: peer.linear2(peer.activation(peer.linear1(x))),
        },
    )


@pytest.mark.parametrize(("name", "norm_first"), [("post", False), ("pre", True)])
def test_pre_and_post_are_those_of_torchs_decoder_layer(name: str, norm_first: bool) -> None:
    """Three sublayers: what cross-attention reads is not normalised by the block that reads it."""
    peer = draw(nn.TransformerDecoderLayer(D, 1, 12, dropout=0.0, norm_first=norm_first, batch_first=True))
    memory = tokens(2, T + 1, D, seed=2, dtype=torch.float32).detach()
    assert_placed(
        name,
        lambda x: peer(x, memory),
        {"norms.attention": peer.norm1, "norms.cross_attention": peer.norm2, "norms.ffn": peer.norm3},
        {
            "attention": lambda x: peer.self_attn(x, x, x, need_weights=False)[0],
            "cross_attention": lambda x: peer.multihead_attn(x, memory, memory, need_weights=False)[0],
            "ffn": lambda x: peer.linear2(peer.activation(peer.linear1(x))),
        },
    )


def first(given: Any) -> Tensor:
    return given[0] if isinstance(given, tuple) else given


def test_post_sublayer_is_olmo_2s() -> None:
    peer = draw(Olmo2DecoderLayer(Olmo2Config(**SIZES, attn_implementation="eager"), 0))
    assert_placed(
        "post_sublayer",
        lambda x: first(peer(x, position_embeddings=UNROTATED)),
        {"norms.attention": peer.post_attention_layernorm, "norms.ffn": peer.post_feedforward_layernorm},
        {
            "attention": lambda x: peer.self_attn(x, position_embeddings=UNROTATED, attention_mask=None)[0],
            "ffn": peer.mlp,
        },
    )


@pytest.mark.parametrize("name", ["sandwich", "peri"])
def test_sandwich_and_peri_are_gemma_2s_inside_a_block(name: str) -> None:
    peer = draw(Gemma2DecoderLayer(Gemma2Config(**SIZES, head_dim=4, attn_implementation="eager"), 0)).eval()
    assert_placed(
        name,
        lambda x: first(peer(x, position_embeddings=UNROTATED)),
        {
            "norms.attention": peer.input_layernorm,
            "output_norms.attention": peer.post_attention_layernorm,
            "norms.ffn": peer.pre_feedforward_layernorm,
            "output_norms.ffn": peer.post_feedforward_layernorm,
        },
        {
            "attention": lambda x: peer.self_attn(x, position_embeddings=UNROTATED, attention_mask=None)[0],
            "ffn": peer.mlp,
        },
    )


def test_parallel_is_gpt_js() -> None:
    config = GPTJConfig(
        n_embd=D, n_inner=12, n_head=2, rotary_dim=2, n_positions=T, attn_implementation="eager"
    )
    peer, position = draw(GPTJBlock(config, 0)).eval(), torch.arange(T)[None]
    assert_placed(
        "parallel",
        lambda x: first(peer(x, position_ids=position)),
        {"norms.shared": peer.ln_1},
        {"attention": lambda x: peer.attn(x, position_ids=position)[0], "ffn": peer.mlp},
    )


def test_parallel_separate_is_gpt_neoxs() -> None:
    sizes = {key: size for key, size in SIZES.items() if key != "num_key_value_heads"}
    config = GPTNeoXConfig(**sizes, use_parallel_residual=True, attn_implementation="eager")
    peer = draw(GPTNeoXLayer(config, 0)).eval()
    assert_placed(
        "parallel_separate",
        lambda x: first(peer(x, position_embeddings=UNROTATED)),
        {"norms.attention": peer.input_layernorm, "norms.ffn": peer.post_attention_layernorm},
        {
            "attention": lambda x: peer.attention(x, attention_mask=None, position_embeddings=UNROTATED)[0],
            "ffn": peer.mlp,
        },
    )
