"""The same weights in transformers' own modules give the same output and gradients."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from transformers import BertConfig, GPT2Config, LlamaConfig, NemotronConfig, T5Config
from transformers.models.bert.modeling_bert import BertIntermediate
from transformers.models.gpt2.modeling_gpt2 import GPT2MLP
from transformers.models.llama.modeling_llama import LlamaMLP
from transformers.models.nemotron.modeling_nemotron import NemotronMLP
from transformers.models.t5.modeling_t5 import T5DenseActDense, T5DenseGatedActDense

from .comparison import build_ffn, run, tokens

D, F = 6, 10
GATED = {"gate": "gate_proj", "value": "up_proj", "down": "down_proj"}


def llama(act: str) -> nn.Module:
    return LlamaMLP(LlamaConfig(hidden_size=D, intermediate_size=F, num_attention_heads=1, hidden_act=act))


def nemotron(act: str) -> nn.Module:
    return NemotronMLP(NemotronConfig(hidden_size=D, intermediate_size=F, hidden_act=act))


def t5(act: str) -> nn.Module:
    return T5DenseActDense(T5Config(d_model=D, d_ff=F, dropout_rate=0.0, feed_forward_proj=act))


def t5_gated(act: str) -> nn.Module:
    return T5DenseGatedActDense(
        T5Config(d_model=D, d_ff=F, dropout_rate=0.0, feed_forward_proj=f"gated-{act}", dense_act_fn=act)
    )


# Gemma is no peer for GEGLU: its config reads "gelu" as the tanh form.
CASES: list[tuple[str, Callable[[str], nn.Module], str, dict[str, str]]] = [
    ("swiglu", llama, "silu", GATED),
    ("geglu", llama, "gelu", GATED),
    ("reglu", llama, "relu", GATED),
    ("glu", llama, "sigmoid", GATED),
    ("bilinear", llama, "linear", GATED),
    ("swiglu", t5_gated, "silu", {"gate": "wi_0", "value": "wi_1", "down": "wo"}),
    ("relu", t5, "relu", {"up": "wi", "down": "wo"}),
    ("gelu", t5, "gelu", {"up": "wi", "down": "wo"}),
    ("silu", t5, "silu", {"up": "wi", "down": "wo"}),
    ("relu2", nemotron, "relu2", {"up": "up_proj", "down": "down_proj"}),
]


@pytest.mark.parametrize(
    ("name", "peer", "act", "names"), CASES, ids=[f"{name}-{peer.__name__}" for name, peer, _, _ in CASES]
)
def test_layer_equals_the_module_of_transformers(
    name: str, peer: Callable[[str], nn.Module], act: str, names: dict[str, str]
) -> None:
    ours, theirs = build_ffn(name, d_model=D, d_ff=F), peer(act).double().eval()
    theirs.load_state_dict({f"{names[key.split('.')[0]]}.weight": p for key, p in ours.state_dict().items()})
    x, dy = tokens(3, 4, D), tokens(3, 4, D, seed=2).detach()
    (y, gradients), (y_, gradients_) = run(ours, x, dy), run(theirs, x, dy)
    torch.testing.assert_close(y, y_, rtol=1e-12, atol=1e-12)
    for key, gradient in gradients.items():
        theirs_key = key if key == "x" else f"{names[key.split('.')[0]]}.weight"
        torch.testing.assert_close(gradient, gradients_[theirs_key], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("name", "act"), [("relu", "relu"), ("gelu", "gelu"), ("silu", "silu")])
def test_layer_with_biases_equals_that_of_gpt2(name: str, act: str) -> None:
    ours = build_ffn(name, d_model=D, d_ff=F, bias=True)
    theirs = GPT2MLP(F, GPT2Config(n_embd=D, activation_function=act, resid_pdrop=0.0)).double()
    with torch.no_grad():  # Conv1D keeps [in, out]
        for branch, theirs_name in (("up", "c_fc"), ("down", "c_proj")):
            theirs.get_submodule(theirs_name).weight.copy_(ours.get_submodule(branch).weight.T)
            theirs.get_submodule(theirs_name).bias.copy_(ours.get_submodule(branch).bias)
    x = tokens(3, 4, D)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-12, atol=1e-12)


def test_gelu_is_that_of_bert() -> None:
    ours = build_ffn("gelu", d_model=D, d_ff=F, bias=True)
    theirs = BertIntermediate(BertConfig(hidden_size=D, intermediate_size=F, num_attention_heads=1)).double()
    theirs.dense.load_state_dict(ours.get_submodule("up").state_dict())
    x = tokens(3, D)
    torch.testing.assert_close(ours(x), ours.get_submodule("down")(theirs(x)), rtol=1e-12, atol=1e-12)
