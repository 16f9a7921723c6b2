"""Encodings that act on logits and values by distance: ALiBi, T5 buckets, Shaw."""

from typing import Any

import numpy as np
import pytest
import torch
from transformers import T5Config
from transformers.models.bloom.modeling_bloom import build_alibi_tensor
from transformers.models.t5.modeling_t5 import T5Attention

from paribus import oracles, registry
from paribus.errors import RequestError
from paribus.parts.position.alibi import alibi_slopes
from paribus.parts.position.base import Position
from paribus.parts.position.t5 import t5_buckets

from .comparison import draw, tokens, weights_of

K, H = 4, 3


def build(name: str, *, num_heads: int = H, causal: bool = True, **options: Any) -> Position:
    position = registry.get("position", name).build(
        d_model=8, head_dim=K, num_heads=num_heads, max_seq_len=16, causal=causal, **options
    )
    assert isinstance(position, Position)
    draw(position.double())
    return position


def bias(position: Position, query: torch.Tensor, key: torch.Tensor) -> np.ndarray:
    added = position.bias(position.state(query, key, length=len(key)))
    assert added is not None
    return added.detach().double().numpy()


@pytest.mark.parametrize("name", ["alibi", "t5"])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(("first", "last"), [(0, 9), (5, 8)])
def test_bias_equals_the_oracle(name: str, causal: bool, first: int, last: int) -> None:
    position = build(name, causal=causal)
    query, key = torch.arange(first, last), torch.arange(last)
    exact = oracles.POSITION[name].bias(
        weights_of(position), query.double().numpy(), key.double().numpy(), num_heads=H, causal=causal
    )
    actual = bias(position, query, key)
    if causal:  # what the mask hides may be anything
        hidden = key[None, :] > query[:, None]
        actual, exact = (np.where(hidden.numpy(), 0, each) for each in (actual, exact))
    np.testing.assert_allclose(actual, exact, rtol=1e-6)


BIASED = sorted(
    name for name, card in registry.catalog()["position"].items() if "bias" in card.factory.acts_on
)


@pytest.mark.parametrize("name", BIASED)
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(("start", "first", "last"), [(0, 0, 9), (0, 5, 9), (3, 8, 9), (0, 0, 300)])
def test_places_that_follow_each_other_have_the_same_bias_and_gradients(
    name: str, causal: bool, start: int, first: int, last: int
) -> None:
    """The short way through offsets against that over all pairs: bias, and both derivatives of what it is made of."""
    position = build(name, causal=causal)
    places = torch.arange(start, last)
    weight = tokens(H, last - first, last - start, seed=7).detach()
    biases, found = [], []
    for consecutive in (True, False):
        state = position.state(places[first - start :], places, length=last)
        bias = position.bias(state, consecutive=consecutive)
        assert bias is not None
        biases.append(bias)
        if leaves := list(position.parameters()):
            slopes = torch.autograd.grad((bias.pow(3) * weight).sum(), leaves, create_graph=True)
            found.append([*slopes, *torch.autograd.grad(sum(s.pow(2).sum() for s in slopes), leaves)])
    assert torch.equal(*biases)
    for short, whole in zip(*found, strict=True) if found else ():
        torch.testing.assert_close(short, whole, rtol=1e-11, atol=1e-11)


# --- ALiBi -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("heads", "slopes"),
    [
        (1, [1 / 256]),
        (2, [1 / 16, 1 / 256]),
        (6, [1 / 4, 1 / 16, 1 / 64, 1 / 256, 1 / 2, 1 / 8]),
        (8, [2.0**-n for n in range(1, 9)]),
        (12, [2.0**-n for n in range(1, 9)] + [0.70710678, 0.35355339, 0.17677670, 0.08838835]),
    ],
)
def test_alibi_slopes_are_the_published_ones(heads: int, slopes: list[float]) -> None:
    assert alibi_slopes(heads) == pytest.approx(slopes, abs=5e-9)
    assert alibi_slopes(heads) == pytest.approx(oracles.alibi_slopes(heads), rel=1e-12)


def test_alibi_is_steeper_by_its_scale() -> None:
    places = torch.arange(7)
    plain, scaled = (
        bias(build("alibi", num_heads=4, **given), places, places) for given in ({}, {"scale": 0.25})
    )
    np.testing.assert_allclose(scaled, plain / 4, rtol=1e-7)


@pytest.mark.parametrize("heads", [4, 6])
def test_alibi_is_that_of_bloom_up_to_what_softmax_takes_away(heads: int) -> None:
    """Bloom adds m_h j, ours m_h (j - i): a row's constant changes no probability."""
    theirs = build_alibi_tensor(torch.ones(1, 7), heads, torch.float32).reshape(heads, 1, 7).double().numpy()
    places = torch.arange(7)
    ours = np.where(np.tri(7), bias(build("alibi", num_heads=heads), places, places), -np.inf)
    shifted = np.where(np.tri(7), theirs, -np.inf)
    np.testing.assert_allclose(
        ours - ours.max(-1, keepdims=True), shifted - shifted.max(-1, keepdims=True), rtol=1e-6
    )


# --- T5 ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("causal", [True, False])
def test_t5_buckets_are_those_of_transformers_and_of_the_oracle(causal: bool) -> None:
    offset = torch.arange(-399, 400)
    ours = t5_buckets(offset, causal=causal)
    theirs = T5Attention._relative_position_bucket(offset, bidirectional=not causal)
    assert torch.equal(ours, theirs)
    assert ours.tolist() == [oracles.t5_bucket(int(each), causal=causal) for each in offset]


def test_t5_buckets_take_the_published_values() -> None:
    two_sided = {
        -7: 7,
        -8: 8,
        -11: 8,
        -12: 9,
        -16: 10,
        -23: 11,
        -32: 12,
        -46: 13,
        -64: 14,
        -91: 15,
        -1000: 15,
    }
    two_sided |= {1: 17, 200: 31}
    causal = {-15: 15, -16: 16, -20: 17, -32: 21, -64: 26, -91: 29, -127: 31, 1: 0, 50: 0}
    for published, is_causal in ((two_sided, False), (causal, True)):
        found = t5_buckets(torch.tensor(list(published)), causal=is_causal)
        assert dict(zip(published, found.tolist(), strict=True)) == published


@pytest.mark.parametrize("is_decoder", [True, False])
def test_t5_bias_is_that_of_transformers(is_decoder: bool) -> None:
    peer = T5Attention(
        T5Config(d_model=8, d_kv=K, num_heads=H, is_decoder=is_decoder), has_relative_attention_bias=True
    ).double()
    ours = build("t5", causal=is_decoder)
    with torch.no_grad():
        peer.relative_attention_bias.weight.copy_(ours.weight)
    places = torch.arange(50)
    np.testing.assert_allclose(
        bias(ours, places, places), peer.compute_bias(50, 50)[0].detach().numpy(), rtol=1e-12
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"num_buckets": 1}, "num_buckets"),
        ({"num_buckets": 6, "causal": False}, "num_buckets"),
        ({"max_distance": 16}, "max_distance"),
    ],
)
def test_t5_refuses_impossible_buckets(options: dict[str, Any], said: str) -> None:
    with pytest.raises(RequestError, match=said):
        build("t5", **options)


# --- Shaw --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reach", [1, 3, 16])
@pytest.mark.parametrize(("first", "last"), [(0, 7), (4, 7)])
def test_shaw_is_a_vector_for_each_pair_of_tokens(reach: int, first: int, last: int) -> None:
    position = build("shaw", max_distance=reach)
    query, key = torch.arange(first, last), torch.arange(last)
    q, p = tokens(2, H, last - first, K), tokens(2, H, last - first, last).softmax(-1)
    state = position.state(query, key, length=last)
    places = query.double().numpy(), key.double().numpy()
    oracle, w = oracles.POSITION["shaw"], weights_of(position)
    score = np.einsum(
        "bhtk,tsk->bhts", q.detach().numpy(), oracle.key_vectors(w, *places, max_distance=reach)
    )
    value = np.einsum(
        "bhts,tsk->bhtk", p.detach().numpy(), oracle.value_vectors(w, *places, max_distance=reach)
    )
    np.testing.assert_allclose(position.score(q, state).detach().numpy(), score, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(position.value(p, state).detach().numpy(), value, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", ["shaw", "t5"])
def test_tables_get_the_numerical_gradient(name: str) -> None:
    position, places = build(name, **({"max_distance": 2} if name == "shaw" else {})), torch.arange(4)
    q, p = tokens(1, H, 4, K), tokens(1, H, 4, 4, seed=2)

    def run(q: torch.Tensor, p: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        state = position.state(places, places, length=4)
        added = position.bias(state)
        return (
            position.score(q, state).sum() + position.value(p, state).pow(2).sum() if added is None else added
        )

    assert torch.autograd.gradcheck(run, (q, p, *position.parameters()))


def test_shaw_refuses_to_reach_nowhere() -> None:
    with pytest.raises(RequestError, match="max_distance"):
        build("shaw", max_distance=0)


def _relative(actual: torch.Tensor, exact: torch.Tensor) -> float:
    return float((actual.double() - exact.double()).norm() / exact.double().norm())


@pytest.mark.parametrize("consecutive", [True, False])
def test_the_gradient_of_t5s_table_is_summed_wide(consecutive: bool) -> None:
    """Half a million numbers meet in one bucket: summed in bfloat16 they stop growing at 256."""
    position = registry.get("position", "t5").build(d_model=8, head_dim=4, num_heads=2, max_seq_len=1024)
    i = torch.arange(1024)
    for dtype in (torch.float64, torch.bfloat16):
        position.to(dtype).zero_grad()
        bias = position.bias(position.state(i, i, length=1024), consecutive=consecutive)
        bias.backward(torch.full_like(bias, 1 / 1024))
        if dtype == torch.float64:
            exact = position.weight.grad.clone()
    assert _relative(position.weight.grad, exact) < 4e-3


@pytest.mark.slow
@pytest.mark.usefixtures("fresh_compiler")
def test_compiled_shaw_sums_wide() -> None:
    """Summed in bfloat16 the bucket of all that is far stops growing: a fifth of the value was lost at 1,024 tokens."""
    torch.manual_seed(0)
    length = 1024
    position = registry.get("position", "shaw").build(
        d_model=16, head_dim=16, num_heads=1, max_seq_len=length
    )
    i = torch.arange(length)
    state = position.state(i, i, length=length)
    hidden = torch.full((length, length), -torch.inf).triu(1)
    p = (torch.randn(1, 1, length, length) / 2 + hidden).softmax(-1)
    q, far = torch.randn(1, 1, length, 16), torch.randn(length, length) / length

    def both(p: torch.Tensor, q: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return position.value(p, state), position.score(q, state)

    def found(run: Any, dtype: torch.dtype) -> list[torch.Tensor]:
        position.zero_grad()
        of_q = q.to(dtype).requires_grad_()
        value, score = run(p.to(dtype), of_q)
        (score * far.to(dtype)).sum().backward()
        return [value, of_q.grad, position.key_table.grad]

    exact = [each.clone() for each in found(both, torch.float64)]
    for actual, expected in zip(
        found(torch.compile(both, fullgraph=True), torch.bfloat16), exact, strict=True
    ):
        assert _relative(actual, expected) < 0.02
