"""Every registered attention layer, with every option, position encoding and both backends."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from paribus import oracles
from paribus.ops.attention import Backend
from paribus.parts.attention.cache import KeyValueCache

from .attending import ATTENTIONS, KV_HEADS, POSITIONS, Attending, D, H, K, attending
from .comparison import tokens, weights_of

ALL = pytest.mark.parametrize("name", ATTENTIONS)
BACKENDS = pytest.mark.parametrize("backend", ["plain", "sdpa"])
CAUSAL = pytest.mark.parametrize("causal", [True, False])
T = 6
VALID = torch.tensor([[True] * T, [False, False, True, True, False, True]])
DOCUMENT = torch.tensor([[0, 0, 1, 1, 1, 1], [0, 1, 1, 2, 2, 2]])

OPTIONS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "biases": {"bias": True},
    "biases of queries, keys and values": {"bias": "qkv"},
    "a bias of the output": {"bias": "o"},
    "a clip": {"clip": 0.6},
    "a window": {"window": 3},
    "a scale": {"scale": 0.9},
    "a cap": {"softcap": 0.8},
    "sinks": {"sinks": True},
    "normed heads": {"qk_norm": "rmsnorm"},
    "layer-normed heads": {"qk_norm": "layernorm"},
    "normed width": {"qk_norm": "rmsnorm", "qk_norm_over": "width"},
    "heads normed one by one": {"qk_norm": "rmsnorm", "qk_norm_over": "heads"},
    "heads layer-normed one by one": {"qk_norm": "layernorm", "qk_norm_over": "heads", "clip": 1.0},
    "everything": {
        "bias": True,
        "window": 3,
        "scale": 0.9,
        "softcap": 0.8,
        "sinks": True,
        "qk_norm": {"name": "rmsnorm"},
    },
}


def expected(
    layer: Attending, x: Tensor, *, name: str, position: str = "none", **given: Any
) -> oracles.Array:
    """The oracle's output for the layer's own weights."""
    spec = given.pop("qk_norm", None)
    if spec is not None:
        given["qk_norm"] = spec if isinstance(spec, str) else spec["name"]
        given.setdefault("qk_norm_over", "head")
    for own in ("bias", "sinks"):  # these are among the weights
        given.pop(own, None)
    w = weights_of(layer)
    arrays = {
        key: value.detach().numpy() if isinstance(value, Tensor) else value for key, value in given.items()
    }
    return oracles.mha(
        oracles.under(w, "attention."),
        x.detach().numpy(),
        num_heads=H,
        num_kv_heads=KV_HEADS.get(name, H),
        position=oracles.POSITION[position],
        position_weights=oracles.under(w, "position."),
        max_seq_len=layer.position.max_seq_len,
        **arrays,
    )


@ALL
@BACKENDS
@CAUSAL
@pytest.mark.parametrize("what", OPTIONS)
def test_layer_equals_the_oracle(name: str, backend: Backend, causal: bool, what: str) -> None:
    layer, x = attending(name, causal=causal, **OPTIONS[what]), tokens(2, T, D)
    for given in ({}, {"valid": VALID}, {"document": DOCUMENT}):
        actual = layer(x, backend=backend, **given)
        masks = {"key_valid" if key == "valid" else key: value for key, value in given.items()}
        exact = expected(layer, x, name=name, causal=causal, **OPTIONS[what], **masks)
        np.testing.assert_allclose(actual.detach().numpy(), exact, rtol=1e-11, atol=1e-12)


@ALL
@pytest.mark.parametrize("position", POSITIONS)
def test_layer_with_each_position_equals_the_oracle(name: str, position: str) -> None:
    """The text is longer than the model is made for, so what changes past that is seen."""
    for causal in (True, False) if position != "xpos" else (True,):
        for backend in ("plain", "sdpa"):
            for given in ({}, {"window": 3, "softcap": 0.8, "sinks": True, "qk_norm": "rmsnorm"}):
                longest = T if position == "learned" else 5
                layer = attending(name, position=position, causal=causal, longest=longest, **given)
                x = tokens(2, T, D)
                exact = expected(layer, x, name=name, position=position, causal=causal, **given)
                actual = layer(x, backend=backend).detach().numpy()
                np.testing.assert_allclose(actual, exact, rtol=5e-6, atol=5e-6)


@ALL
@BACKENDS
@pytest.mark.parametrize("what", OPTIONS)
def test_cross_attention_equals_the_oracle(name: str, backend: Backend, what: str) -> None:
    """It reads the memory alone: no causality, no window, no position, no documents."""
    layer = attending(name, position="rope", cross=True, **OPTIONS[what])
    x, memory = tokens(2, T, D), tokens(2, 4, D, seed=2)
    valid = torch.tensor([[True, True, True, False], [False, False, False, False]])
    for memory_valid in (None, valid):
        actual = layer(
            x, backend=backend, memory=memory, memory_valid=memory_valid, document=DOCUMENT, valid=VALID
        )
        exact = expected(layer, x, name=name, memory=memory, key_valid=memory_valid, **OPTIONS[what])
        np.testing.assert_allclose(actual.detach().numpy(), exact, rtol=1e-11, atol=1e-12)


def test_mha_rotates_queries_and_keys_and_not_values() -> None:
    layer, x = attending(position="rope"), tokens(2, T, D)
    exact = oracles.mha(
        oracles.under(weights_of(layer), "attention."),
        x.detach().numpy(),
        num_heads=H,
        rotate=lambda t: oracles.rope(t, np.arange(float(T))),
    )
    np.testing.assert_allclose(layer(x).detach().numpy(), exact, rtol=5e-6, atol=5e-6)


@pytest.mark.parametrize("what", ["causal", "padded", "cross"])
def test_mha_equals_that_of_torch(what: str) -> None:
    width = H * K
    layer = attending(d_model=width, causal=what == "causal", cross=what == "cross", bias=True)
    x, memory = tokens(2, T, width), tokens(2, 5, width, seed=2)
    peer = nn.MultiheadAttention(width, H, bias=True, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        for kind in ("weight", "bias"):
            parts = [layer.attention.get_submodule(n).get_parameter(kind) for n in "qkv"]
            peer.get_parameter(f"in_proj_{kind}").copy_(torch.cat(parts))
            peer.out_proj.get_parameter(kind).copy_(layer.attention.o.get_parameter(kind))
    source = memory if what == "cross" else x
    hidden = torch.ones(T, T, dtype=torch.bool).triu(1) if what == "causal" else None
    valid = torch.arange(source.shape[1]) < torch.tensor([[9], [3]])
    exact, _ = peer(
        x,
        source,
        source,
        attn_mask=hidden,
        key_padding_mask=None if what == "causal" else ~valid,
        need_weights=False,
    )
    given = {
        "causal": {},
        "padded": {"valid": valid},
        "cross": {"memory": memory, "memory_valid": valid},
    }[what]
    torch.testing.assert_close(layer(x, **given), exact, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_grouped_heads_are_full_ones_whose_keys_are_repeated(groups: int) -> None:
    """GQA with each group's key and value matrix written out once for each of its heads is MHA."""
    grouped, whole = attending("gqa", num_kv_heads=groups), attending("mha")
    with torch.no_grad():
        for name, p in whole.attention.named_parameters():
            given = grouped.attention.get_parameter(name)
            if name[0] in "kv":
                given = given.unflatten(0, (groups, K)).repeat_interleave(H // groups, 0).flatten(0, 1)
            p.copy_(given)
    torch.testing.assert_close(grouped(tokens(2, T, D)), whole(tokens(2, T, D)), rtol=1e-12, atol=1e-13)


@ALL
@BACKENDS
@pytest.mark.parametrize("position", POSITIONS)
def test_a_later_token_never_changes_an_earlier_output(name: str, backend: Backend, position: str) -> None:
    x = tokens(2, T, D).detach()
    changed = x.clone()
    changed[:, 4:] += 1
    layer = attending(name, position=position, longest=T)
    before, after = (layer(each, backend=backend) for each in (x, changed))
    assert torch.equal(before[:, :4], after[:, :4])
    assert not torch.allclose(before[:, 4:], after[:, 4:])
    if position == "xpos":
        return
    both_ways = attending(name, position=position, longest=T, causal=False)
    before, after = (both_ways(each, backend=backend) for each in (x, changed))
    assert not torch.allclose(before[:, :4], after[:, :4])


@ALL
@pytest.mark.parametrize("what", OPTIONS)
@pytest.mark.parametrize("position", ["rope", "alibi", "shaw"])
def test_a_cache_gives_what_the_whole_text_gives(name: str, what: str, position: str) -> None:
    layer, x = attending(name, position=position, **OPTIONS[what]), tokens(2, T, D).detach()
    cache = KeyValueCache()
    pieces = [layer(x[:, start:end], cache=cache) for start, end in ((0, 3), (3, 4), (4, 6))]
    assert cache.length == T
    torch.testing.assert_close(torch.cat(pieces, 1), layer(x), rtol=1e-6, atol=1e-6)


def test_a_cache_of_cross_attention_reads_the_memory_once() -> None:
    layer, x, memory = (
        attending("gqa", cross=True),
        tokens(2, T, D).detach(),
        tokens(2, 4, D, seed=2).detach(),
    )
    cache = KeyValueCache()
    first = layer(x[:, :2], memory=memory, cache=cache)
    rest = layer(x[:, 2:], memory=None, cache=cache)
    assert cache.length == 4
    torch.testing.assert_close(torch.cat((first, rest), 1), layer(x, memory=memory), rtol=1e-12, atol=1e-13)


def test_a_cache_holds_the_key_heads_and_not_the_query_heads() -> None:
    cache = KeyValueCache()
    attending("gqa")(tokens(2, T, D).detach(), cache=cache)
    assert [tuple(held.shape) for held in cache.all()] == [(2, 2, T, K)] * 2


@ALL
@pytest.mark.parametrize("what", ["as it is", "everything"])
def test_first_and_second_derivatives_are_the_numerical_ones(name: str, what: str) -> None:
    layer = attending(
        name,
        d_model=2,
        num_heads=2,
        head_dim=2,
        **OPTIONS[what],
        **({"num_kv_heads": 1} if name == "gqa" else {}),
    )
    inputs = (tokens(1, 3, 2), *layer.parameters())
    assert torch.autograd.gradcheck(lambda x, *_: layer(x), inputs, fast_mode=True)
    assert torch.autograd.gradcheck(lambda x, *_: layer(x, backend="sdpa"), inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda x, *_: layer(x), inputs, fast_mode=True)


@ALL
@BACKENDS
@pytest.mark.parametrize("what", OPTIONS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_output_and_input_gradient_have_the_dtype_of_the_input(
    name: str, backend: Backend, what: str, dtype: torch.dtype
) -> None:
    layer, x = attending(name, position="rope", **OPTIONS[what]).float(), tokens(2, 4, D, dtype=dtype)
    y = layer(x, backend=backend)
    y.sum().backward()
    assert x.grad is not None and (y.shape, y.dtype) == (x.grad.shape, x.grad.dtype) == (x.shape, dtype)
    assert {p.grad.dtype for p in layer.parameters() if p.grad is not None} == {torch.float32}
    exact = layer.double()(x.double()).detach()
    bound = {torch.float64: 1e-6, torch.float32: 1e-5, torch.bfloat16: 0.06}[dtype]
    assert (y.double() - exact).abs().max() <= bound * exact.abs().max()


@ALL
@BACKENDS
def test_a_sequence_of_one_token_sees_itself(name: str, backend: Backend) -> None:
    layer, x = attending(name, position="rope"), tokens(2, 1, D)
    w = weights_of(layer.attention)
    value = np.repeat(
        (x.detach().numpy() @ w["v.weight"].T).reshape(2, 1, -1, K), H // KV_HEADS.get(name, H), 2
    )
    np.testing.assert_allclose(
        layer(x, backend=backend).detach().numpy(), value.reshape(2, 1, -1) @ w["o.weight"].T, rtol=1e-12
    )
