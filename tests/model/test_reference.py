"""The same weights in transformers' whole models give the same logits and gradients."""

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from paribus.model.config import ModelConfig
from paribus.model.transformer import Transformer

from ..parts.comparison import draw

V, D, F, L, H, K, T = 13, 12, 20, 2, 3, 4, 7

LLAMA_NAMES = {
    "embedding.": "model.embed_tokens.",
    "head.": "lm_head.",
    "decoder.final_norm.": "model.norm.",
    "decoder.blocks.": "model.layers.",
    ".attention.q.": ".self_attn.q_proj.",
    ".attention.k.": ".self_attn.k_proj.",
    ".attention.v.": ".self_attn.v_proj.",
    ".attention.o.": ".self_attn.o_proj.",
    ".ffn.gate.": ".mlp.gate_proj.",
    ".ffn.value.": ".mlp.up_proj.",
    ".ffn.down.": ".mlp.down_proj.",
    ".residual.norms.attention.": ".input_layernorm.",
    ".residual.norms.ffn.": ".post_attention_layernorm.",
}
GPT2_NAMES = {
    "embedding.": "transformer.wte.",
    "decoder.position.": "transformer.wpe.",
    "decoder.final_norm.": "transformer.ln_f.",
    "decoder.blocks.": "transformer.h.",
    ".attention.o.": ".attn.c_proj.",
    ".ffn.up.": ".mlp.c_fc.",
    ".ffn.down.": ".mlp.c_proj.",
    ".residual.norms.attention.": ".ln_1.",
    ".residual.norms.ffn.": ".ln_2.",
}


def renamed(name: str, names: dict[str, str]) -> str:
    for ours, theirs in names.items():
        name = name.replace(ours, theirs)
    return name


def tokens() -> torch.Tensor:
    return torch.randint(V, (2, T), generator=torch.Generator().manual_seed(5))


def llama_pair() -> tuple[Transformer, LlamaForCausalLM]:
    ours = Transformer(ModelConfig(vocab_size=V, d_model=D, d_ff=F, num_layers=L, num_heads=H))
    draw(ours, exact_in=torch.float32)
    config = LlamaConfig(
        vocab_size=V,
        hidden_size=D,
        intermediate_size=F,
        num_hidden_layers=L,
        num_attention_heads=H,
        num_key_value_heads=H,
        rms_norm_eps=1e-6,
        hidden_act="silu",
        tie_word_embeddings=False,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        attn_implementation="eager",
    )
    theirs = LlamaForCausalLM(config).eval()
    theirs.load_state_dict({renamed(n, LLAMA_NAMES): p for n, p in ours.state_dict().items()}, strict=True)
    return ours, theirs


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 2e-6), (torch.float32, 2e-5)])
def test_default_model_has_the_logits_of_llama(dtype: torch.dtype, tolerance: float) -> None:
    ours, theirs = (model.to(dtype) for model in llama_pair())
    expected = theirs(tokens()).logits
    assert expected.abs().max() > 0.5
    torch.testing.assert_close(ours(tokens(), dtype=dtype), expected, rtol=tolerance, atol=tolerance)


def test_default_model_has_the_gradients_of_llama() -> None:
    ours, theirs = (model.double() for model in llama_pair())
    ours(tokens(), dtype=torch.float64).square().sum().backward()
    theirs(tokens()).logits.square().sum().backward()
    for name, p in ours.named_parameters():
        expected = theirs.get_parameter(renamed(name, LLAMA_NAMES)).grad
        torch.testing.assert_close(p.grad, expected, rtol=1e-5, atol=1e-5 * expected.abs().max().item())


def test_biased_tied_model_has_the_logits_of_gpt2() -> None:
    ours = Transformer(
        ModelConfig(
            vocab_size=V,
            d_model=D,
            d_ff=F,
            num_layers=L,
            num_heads=H,
            max_seq_len=9,
            ffn={"name": "gelu", "bias": True},
            attention={"name": "mha", "bias": True},
            norm="layernorm",
            position="learned",
            tie_embeddings=True,
        )
    ).double()
    draw(ours)
    config = GPT2Config(
        vocab_size=V,
        n_embd=D,
        n_inner=F,
        n_layer=L,
        n_head=H,
        n_positions=9,
        activation_function="gelu",
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        attn_implementation="eager",
    )
    theirs = GPT2LMHeadModel(config).double().eval()
    state, left = dict(ours.state_dict()), dict(theirs.state_dict())
    for layer in range(L):
        for kind in ("weight", "bias"):
            qkv = [state.pop(f"decoder.blocks.{layer}.attention.{n}.{kind}") for n in "qkv"]
            state[f"transformer.h.{layer}.attn.c_attn.{kind}"] = torch.cat(qkv)
    with torch.no_grad():
        for name, p in state.items():
            theirs_name = renamed(name, GPT2_NAMES)
            linear = p.ndim == 2 and ".h." in theirs_name  # Conv1D keeps [in, out]
            left.pop(theirs_name).copy_(p.T if linear else p)
    assert set(left) <= {"lm_head.weight"}  # the tied head
    expected = theirs(tokens()).logits
    assert expected.abs().max() > 0.5
    torch.testing.assert_close(ours(tokens(), dtype=torch.float64), expected, rtol=1e-11, atol=1e-11)
