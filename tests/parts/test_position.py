"""Every registered position encoding, and what each is known for."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb

from paribus import oracles, registry
from paribus.errors import RequestError
from paribus.parts.position.base import Position

from .comparison import draw, tokens

POSITIONS = tuple(registry.catalog()["position"])
ALL = pytest.mark.parametrize("name", POSITIONS)
D, K, LENGTH = 10, 6, 16


def build(
    name: str, *, d_model: int = D, head_dim: int = K, max_seq_len: int = LENGTH, **options: float
) -> Position:
    position = registry.get("position", name).build(
        d_model=d_model, head_dim=head_dim, num_heads=3, max_seq_len=max_seq_len, **options
    )
    assert isinstance(position, Position)
    draw(position.double())
    return position


def qk(t: int = 5, seed: int = 1) -> tuple[Tensor, Tensor]:
    q, k = tokens(2, 2, 3, t, K, seed=seed).detach()
    return q, k


def rotated(position: Position, q: Tensor, k: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
    return position.rotate(q, k, position.state(positions, positions, length=positions.shape[-1]))


# --- what holds for all ----------------------------------------------------------------------------------


@ALL
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_shapes_and_dtypes_stay(name: str, dtype: torch.dtype) -> None:
    position, p = build(name), torch.arange(5)
    x = tokens(2, 5, D, dtype=dtype)
    y = position.embed(x, p)
    q, k = (t.to(dtype) for t in qk())
    q_, k_ = rotated(position, q, k, p)
    assert (y.shape, y.dtype) == (x.shape, dtype)
    assert (q_.shape, k_.shape, q_.dtype, k_.dtype) == (q.shape, k.shape, dtype, dtype)


#: Where each encoding acts.
ACTS_ON = {
    "none": set(),
    "learned": {"embed"},
    "sinusoidal": {"embed"},
    "shaw": {"score", "value"},
    "t5": {"bias"},
    "alibi": {"bias"},
}


@ALL
def test_each_encoding_acts_in_its_own_place_and_nowhere_else(name: str) -> None:
    position, p = build(name), torch.arange(3, 8)
    x, (q, k) = tokens(2, 5, D).detach(), qk()
    state = position.state(p, p, length=8)
    q_, k_ = position.rotate(q, k, state)
    acts = {
        "embed": not torch.equal(position.embed(x, p), x),
        "rotate": not (torch.equal(q, q_) and torch.equal(k, k_)),
        "bias": position.bias(state) is not None,
    }
    for place, given in (("score", q), ("value", q.softmax(-1)[..., :5])):
        try:
            acts[place] = getattr(position, place)(given, state).shape is not None
        except NotImplementedError:
            acts[place] = False
    assert {place for place, does in acts.items() if does} == ACTS_ON.get(name, {"rotate"})
    assert position.acts_on == ACTS_ON.get(name, {"rotate"})


def test_learned_positions_begin_at_the_row_of_their_offset() -> None:
    plain, shifted = build("learned"), build("learned", offset=2)
    assert shifted.weight.shape == (LENGTH + 2, D) and shifted.roles()["weight"].fan_in == LENGTH + 2
    with torch.no_grad():
        shifted.weight[2:] = plain.weight
        shifted.weight[:2] = torch.nan
    x, p = tokens(2, LENGTH, D).detach(), torch.arange(LENGTH)
    assert torch.equal(plain.embed(x, p), shifted.embed(x, p))
    with pytest.raises(RequestError, match=f"{LENGTH} tokens"):
        shifted.embed(tokens(2, LENGTH + 1, D), torch.arange(LENGTH + 1))


@pytest.mark.parametrize(
    "name", [name for name in POSITIONS if name.startswith("rope") and name != "rope_interleaved"]
)
def test_pairs_that_do_not_turn_keep_their_channels(name: str) -> None:
    (q, k), p = qk(), torch.arange(40, 45)
    turned, whole = (rotated(build(name, **given), q, k, p)[0] for given in ({"turning": 1 / 3}, {}))
    factor = build(name).attention_factor(length=5)
    for pair in range(K // 2):
        channels = [pair, pair + K // 2]
        expected = whole if pair == 0 else q * factor
        torch.testing.assert_close(turned[..., channels], expected[..., channels])
    assert not torch.allclose(turned[..., 0], q[..., 0])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("learned", {"offset": -1}),
        ("learned", {"offset": 1.5}),
        ("rope", {"turning": 0.0}),
        ("rope", {"turning": 0.5}),
        ("alibi", {"scale": 0.0}),
        ("alibi", {"scale": -1}),
    ],
)
def test_impossible_offsets_and_scales_are_refused(name: str, options: dict[str, float]) -> None:
    with pytest.raises(RequestError, match=next(iter(options))):
        build(name, **options)


@ALL
def test_rows_may_have_positions_of_their_own(name: str) -> None:
    position, (q, k), x = build(name), qk(), tokens(2, 5, D).detach()
    rows = torch.stack((torch.arange(5), torch.arange(4, 9)))
    both = position.state(rows, rows, length=9)
    together = position.rotate(q, k, both)
    embedded, bias = position.embed(x, rows), position.bias(both)
    for row in range(2):
        p = rows[row]
        alone = position.state(p, p, length=9)
        turned = position.rotate(q[row : row + 1], k[row : row + 1], alone)
        for ours, theirs in zip(together, turned, strict=True):
            torch.testing.assert_close(ours[row : row + 1], theirs)
        torch.testing.assert_close(embedded[row], position.embed(x[row : row + 1], p)[0])
        if bias is not None:
            torch.testing.assert_close(bias[row], position.bias(alone))
        if "score" in position.acts_on:
            torch.testing.assert_close(
                position.score(q, both)[row], position.score(q[row : row + 1], alone)[0]
            )
            p_ = q.softmax(-1)[..., :5]
            torch.testing.assert_close(
                position.value(p_, both)[row], position.value(p_[row : row + 1], alone)[0]
            )


@ALL
def test_a_later_position_is_encoded_as_it_was_in_a_longer_window(name: str) -> None:
    position, x, (q, k) = build(name), tokens(2, 8, D).detach(), qk(8)
    p, everywhere = torch.arange(5, 8), torch.arange(8)
    state, later = position.state(everywhere, everywhere, length=8), position.state(p, everywhere, length=8)
    everything = [position.embed(x, everywhere), *position.rotate(q, k, state)]
    alone = [position.embed(x[:, 5:], p), *position.rotate(q[..., 5:, :], k[..., 5:, :], later)]
    if (bias := position.bias(state)) is not None:
        everything.append(bias)
        alone.append(position.bias(later))
    if "score" in position.acts_on:
        everything.append(position.score(q, state))
        alone.append(position.score(q[..., 5:, :], later))
    for whole, part in zip(everything, alone, strict=True):
        torch.testing.assert_close(whole[..., 5:, :], part, rtol=1e-6, atol=1e-6)


@ALL
def test_only_tables_are_parameters(name: str) -> None:
    expected = {
        "learned": {"weight": (LENGTH, D)},
        "t5": {"weight": (32, 3)},
        "shaw": {"key_table": (33, K), "value_table": (33, K)},
    }.get(name, {})
    assert {n: tuple(p.shape) for n, p in build(name).named_parameters()} == expected
    assert set(build(name).roles()) == set(expected)


# --- sinusoidal ------------------------------------------------------------------------------------------


def test_sinusoidal_is_the_table_of_the_paper() -> None:
    x, p = torch.zeros(1, LENGTH, D, dtype=torch.float64), torch.arange(LENGTH)
    actual = build("sinusoidal").embed(x, p)[0].numpy()
    np.testing.assert_allclose(actual, oracles.sinusoidal_table(LENGTH, D), atol=2e-6)
    assert actual[0].tolist() == [0.0, 1.0] * (D // 2)
    assert actual[3, 0] == pytest.approx(math.sin(3), abs=1e-6)
    assert actual[3, 3] == pytest.approx(math.cos(3 / 10000 ** (2 / D)), abs=1e-6)


def test_sinusoidal_adds_to_the_embedding_and_runs_past_max_seq_len() -> None:
    position, x = build("sinusoidal", max_seq_len=4), tokens(2, 9, D).detach()
    np.testing.assert_allclose(
        (position.embed(x, torch.arange(9)) - x).numpy(), [oracles.sinusoidal_table(9, D)] * 2, atol=2e-6
    )


def test_sinusoidal_stays_accurate_far_out() -> None:
    p = torch.tensor([4095])
    actual = build("sinusoidal").embed(torch.zeros(1, 1, D, dtype=torch.float64), p)[0, 0].numpy()
    np.testing.assert_allclose(actual, oracles.sinusoidal_table(4096, D)[-1], atol=1e-3)


def test_sinusoidal_refuses_an_odd_width() -> None:
    with pytest.raises(RequestError, match="d_model"):
        build("sinusoidal", d_model=5)


# --- learned ---------------------------------------------------------------------------------------------


def test_learned_adds_its_rows() -> None:
    position, x, p = build("learned"), tokens(2, 4, D).detach(), torch.tensor([0, 3, 3, 15])
    assert isinstance(position.weight, Tensor)
    torch.testing.assert_close(position.embed(x, p), x + position.weight[[0, 3, 3, 15]])


def test_learned_uses_its_table_to_the_last_row_and_refuses_more() -> None:
    position = build("learned", max_seq_len=4)
    position.embed(tokens(1, 4, D), torch.arange(4))
    with pytest.raises(RequestError, match="4"):
        position.embed(tokens(1, 5, D), torch.arange(5))
    with pytest.raises(RequestError, match="5"):  # with a cache: the table is judged by all tokens so far
        position.state(torch.tensor([4]), torch.arange(5), length=5)
    with pytest.raises((RequestError, IndexError)):  # few, and yet past the table: never clipped or wrapped
        position.embed(tokens(1, 2, D), torch.arange(3, 5))


# --- rope ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"base": 500.0}])
def test_rope_equals_the_complex_rotation_of_the_paper(options: dict[str, float]) -> None:
    q, k = qk(7)
    p = torch.tensor([0, 1, 2, 5, 9, 11, 15])
    for actual, given in zip(rotated(build("rope", **options), q, k, p), (q, k), strict=True):
        expected = oracles.rope(given.numpy(), p.double().numpy(), **options)
        np.testing.assert_allclose(actual.numpy(), expected, atol=5e-6)


def test_rope_half_split_is_the_interleaved_rotation_of_permuted_channels() -> None:
    q, k = qk()
    p, order = torch.arange(5), oracles.half_split_order(K)
    half, _ = rotated(build("rope"), q[..., order], k, p)
    interleaved = oracles.rope_interleaved(q.numpy(), p.double().numpy())
    np.testing.assert_allclose(half.numpy(), interleaved[..., order], atol=5e-6)
    wrong, _ = rotated(build("rope"), q, k, p)
    assert np.abs(wrong.numpy() - interleaved).max() > 0.1


def test_rope_logits_depend_on_distance_alone() -> None:
    (q, k), position = qk(1), build("rope")

    def logit(q_position: int, k_position: int) -> Tensor:
        turned, _ = rotated(position, q, k, torch.tensor([q_position]))
        _, other = rotated(position, q, k, torch.tensor([k_position]))
        return (turned * other).sum(-1)

    for distance in (0, 1, 7):
        torch.testing.assert_close(logit(distance, 0), logit(distance + 40, 40), atol=2e-5, rtol=0)
    assert (logit(1, 0) - logit(0, 1)).abs().max() > 1e-2  # and on its sign
    assert (logit(3, 0) - logit(1, 0)).abs().max() > 1e-2


def test_rope_keeps_norms_and_leaves_position_zero_alone() -> None:
    q, k = qk()
    q_, k_ = rotated(build("rope"), q, k, torch.arange(5))
    torch.testing.assert_close(q_.norm(dim=-1), q.norm(dim=-1), rtol=1e-6, atol=0)
    torch.testing.assert_close(k_.norm(dim=-1), k.norm(dim=-1), rtol=1e-6, atol=0)
    assert torch.equal(q_[..., 0, :], q[..., 0, :]) and not torch.allclose(q_[..., 1, :], q[..., 1, :])


@pytest.mark.parametrize("base", [10000.0, 500000.0])
def test_rope_equals_that_of_transformers(base: float) -> None:
    q, k = (t.float() for t in qk(9))
    config = LlamaConfig(
        hidden_size=K,
        num_attention_heads=1,
        head_dim=K,
        rope_parameters={"rope_type": "default", "rope_theta": base},
    )
    cos, sin = LlamaRotaryEmbedding(config)(q, torch.arange(9)[None])
    expected = apply_rotary_pos_emb(q, k, cos, sin)
    for ours, theirs in zip(rotated(build("rope", base=base), q, k, torch.arange(9)), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


def test_rope_rounds_bf16_once() -> None:
    q, k = (t.bfloat16() for t in qk(40))
    p = torch.arange(40)
    actual, _ = rotated(build("rope"), q, k, p)
    exact = oracles.rope(q.double().numpy(), p.double().numpy())
    slack = 1.01 * oracles.round_once_slack(exact, 8) + 2e-5
    assert (np.abs(actual.double().numpy() - exact) <= slack).all()


def test_rope_gradient() -> None:
    q, k = (t[:1, :1, :3].clone().requires_grad_() for t in qk())
    position = build("rope")
    # The rotation is linear, so its numerical derivative may use a step that float32 angles do not disturb.
    assert torch.autograd.gradcheck(lambda q, k: rotated(position, q, k, torch.arange(3)), (q, k))


def test_rope_refuses_an_odd_head() -> None:
    with pytest.raises(RequestError, match="head_dim"):
        build("rope", head_dim=5)
