"""Every registered attention layer, with every position encoding and both backends."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from paribus import oracles, registry
from paribus.ops.attention import Backend, Mask
from paribus.parts.context import Context

from .comparison import draw, tokens, weights_of

ATTENTIONS = tuple(registry.catalog()["attention"])
ALL = pytest.mark.parametrize("name", ATTENTIONS)
BACKENDS = pytest.mark.parametrize("backend", ["plain", "sdpa"])
POSITIONS = tuple(registry.catalog()["position"])
D, H, K = 5, 3, 4  # H K is not D: no axis can be mistaken for another


def build(name: str = "mha", **options: bool) -> nn.Module:
    return draw(registry.get("attention", name).build(d_model=D, num_heads=H, head_dim=K, **options).double())


def context(
    length: int, *, position: str = "none", causal: bool = True, backend: Backend = "plain"
) -> Context:
    encoding = registry.get("position", position).build(d_model=D - D % 2, head_dim=K, max_seq_len=length)
    return Context(
        position=encoding,
        state=encoding.state(torch.arange(length)),
        mask=Mask(causal=causal),
        backend=backend,
    )


@BACKENDS
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_mha_equals_the_paper(backend: Backend, causal: bool, bias: bool) -> None:
    layer, x = build(bias=bias), tokens(2, 6, D)
    expected = oracles.mha(weights_of(layer), x.detach().numpy(), num_heads=H, causal=causal)
    actual = layer(x, context(6, causal=causal, backend=backend))
    np.testing.assert_allclose(actual.detach().numpy(), expected, rtol=1e-12, atol=1e-13)


@BACKENDS
def test_mha_rotates_queries_and_keys_and_not_values(backend: Backend) -> None:
    layer, x = build(), tokens(2, 6, D)
    expected = oracles.mha(
        weights_of(layer), x.detach().numpy(), num_heads=H, rotate=lambda t: oracles.rope(t, np.arange(6.0))
    )
    actual = layer(x, context(6, position="rope", backend=backend))
    np.testing.assert_allclose(actual.detach().numpy(), expected, rtol=5e-6, atol=5e-6)


def test_mha_equals_that_of_torch() -> None:
    layer, x = (
        draw(registry.get("attention", "mha").build(d_model=12, num_heads=H, head_dim=K).double()),
        tokens(2, 6, 12),
    )
    peer = nn.MultiheadAttention(12, H, bias=False, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        peer.in_proj_weight.copy_(torch.cat([layer.get_submodule(n).weight for n in "qkv"]))
        peer.out_proj.weight.copy_(layer.get_submodule("o").weight)
    mask = nn.Transformer.generate_square_subsequent_mask(6, dtype=torch.float64)
    expected, _ = peer(x, x, x, attn_mask=mask, need_weights=False)
    torch.testing.assert_close(layer(x, context(6)), expected, rtol=1e-12, atol=1e-13)


@ALL
@BACKENDS
@pytest.mark.parametrize("position", POSITIONS)
def test_a_later_token_never_changes_an_earlier_output(name: str, backend: Backend, position: str) -> None:
    layer, x = build(name), tokens(2, 6, D).detach()
    before = layer(x, context(6, position=position, backend=backend))
    changed = x.clone()
    changed[:, 4:] += 1
    after = layer(changed, context(6, position=position, backend=backend))
    assert torch.equal(before[:, :4], after[:, :4])
    assert not torch.allclose(before[:, 4:], after[:, 4:])
    open_before, open_after = (
        layer(t, context(6, position=position, causal=False, backend=backend)) for t in (x, changed)
    )
    assert not torch.allclose(open_before[:, :4], open_after[:, :4])


@ALL
@BACKENDS
def test_first_derivatives_are_the_numerical_ones(name: str, backend: Backend) -> None:
    layer = draw(registry.get("attention", name).build(d_model=2, num_heads=1, head_dim=2).double())
    inputs = (tokens(1, 3, 2), *layer.parameters())
    shared = context(3, backend=backend)
    assert torch.autograd.gradcheck(lambda x, *_: layer(x, shared), inputs)


@ALL
def test_second_derivatives_are_the_numerical_ones_on_the_plain_backend(name: str) -> None:
    layer = draw(registry.get("attention", name).build(d_model=2, num_heads=1, head_dim=2).double())
    shared = context(3)
    assert torch.autograd.gradgradcheck(
        lambda x, *_: layer(x, shared), (tokens(1, 3, 2), *layer.parameters())
    )


@ALL
@BACKENDS
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_output_and_input_gradient_have_the_dtype_of_the_input(
    name: str, backend: Backend, dtype: torch.dtype
) -> None:
    layer, x = build(name).float(), tokens(2, 4, D, dtype=dtype)
    y: Tensor = layer(x, context(4, position="rope", backend=backend))
    y.sum().backward()
    assert x.grad is not None and (y.shape, y.dtype) == (x.grad.shape, x.grad.dtype) == (x.shape, dtype)
    assert {p.grad.dtype for p in layer.parameters() if p.grad is not None} == {torch.float32}


@ALL
@BACKENDS
def test_a_sequence_of_one_token_sees_itself(name: str, backend: Backend) -> None:
    layer, x = build(name), tokens(2, 1, D)
    w = weights_of(layer)
    expected = x.detach().numpy() @ w["v.weight"].T @ w["o.weight"].T
    actual = layer(x, context(1, position="rope", backend=backend))
    np.testing.assert_allclose(actual.detach().numpy(), expected, rtol=1e-12)


def test_counts_are_those_of_the_matrices() -> None:
    card = registry.get("attention", "mha")
    assert card.num_params(d_model=D, num_heads=H, head_dim=K) == 4 * D * H * K
    assert card.num_params(d_model=D, num_heads=H, head_dim=K, bias=True) == 4 * D * H * K + 3 * H * K + D
