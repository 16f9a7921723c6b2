"""Attention by hand, and each of its additions by what it must not change."""

import numpy as np
import pytest
from scipy.special import softmax

from paribus.oracles import NORM, POSITION, Array, Function, attention, mha, rope, visible_mask

DRAW = np.random.default_rng(0)
Q, K, V = DRAW.standard_normal((3, 2, 4, 5, 6))
X = DRAW.standard_normal((2, 5, 8))
W = {f"{name}.weight": DRAW.standard_normal((8, 8)) for name in "qkvo"}


def test_attention_is_the_softmax_of_scaled_products() -> None:
    expected = softmax(Q @ K.swapaxes(-1, -2) / 3, axis=-1) @ V
    np.testing.assert_allclose(attention(Q, K, V, scale=1 / 3), expected, rtol=1e-12)
    np.testing.assert_allclose(attention(Q[0, 0], K[0, 0], V[0, 0], scale=1 / 3), expected[0, 0], rtol=1e-12)
    np.testing.assert_allclose(attention(Q[0], K[0], V[0], scale=1 / 3), expected[0], rtol=1e-12)


def test_a_causal_query_sees_itself_and_what_is_before_also_with_a_longer_past() -> None:
    full = attention(Q, K, V, scale=1, causal=True)
    np.testing.assert_array_equal(full[:, :, 0], V[:, :, 0])
    np.testing.assert_array_equal(attention(Q[:, :, 3:], K, V, scale=1, causal=True), full[:, :, 3:])
    shown = np.ones((5, 5), bool)
    shown[:, 1] = False
    both = attention(Q, K, V, scale=1, causal=True, visible=shown)
    np.testing.assert_allclose(
        both, attention(Q, K, V, scale=1, visible=shown & np.tri(5, dtype=bool)), rtol=1e-14
    )


def test_a_query_that_sees_nothing_gives_zeros() -> None:
    visible = np.ones((2, 5, 5), bool)
    visible[1, 2] = False
    for sinks in (None, np.zeros(4)):
        y = attention(Q, K, V, scale=1, visible=visible, sinks=sinks)
        assert (y[1, :, 2] == 0).all() and (np.abs(y[0]) > 0).all()


def test_heads_share_their_groups_keys_in_order() -> None:
    y = attention(Q, K[:, :2], V[:, :2], scale=1)
    np.testing.assert_array_equal(y, attention(Q, K[:, [0, 0, 1, 1]], V[:, [0, 0, 1, 1]], scale=1))


def test_a_cap_acts_on_scaled_logits_before_bias_and_mask() -> None:
    bias = DRAW.standard_normal((4, 5, 5))
    logits = 2 * np.tanh(Q @ K.swapaxes(-1, -2) * 0.5 / 2) + bias
    logits = np.where(np.tri(5, dtype=bool), logits, -np.inf)
    y = attention(Q, K, V, scale=0.5, softcap=2.0, bias=bias, causal=True)
    np.testing.assert_allclose(y, softmax(logits, axis=-1) @ V, rtol=1e-12)


def test_a_sink_is_one_more_key_without_a_value() -> None:
    sinks = np.array([-np.inf, 0.0, 1.0, 50.0])
    logits = Q @ K.swapaxes(-1, -2) / 3
    more = np.concatenate((logits, np.broadcast_to(sinks[:, None, None], (2, 4, 5, 1))), -1)
    y = attention(Q, K, V, scale=1 / 3, sinks=sinks)
    np.testing.assert_allclose(y, softmax(more, axis=-1)[..., :-1] @ V, rtol=1e-12)
    np.testing.assert_allclose(y[:, 0], attention(Q, K, V, scale=1 / 3)[:, 0], rtol=1e-12)


def test_relative_vectors_are_added_to_each_querys_keys_and_values() -> None:
    of_keys, of_values = DRAW.standard_normal((2, 5, 5, 6))
    p = softmax((Q @ K.swapaxes(-1, -2) + np.einsum("bhtk,tsk->bhts", Q, of_keys)) / 2, axis=-1)
    expected = p @ V + np.einsum("bhts,tsk->bhtk", p, of_values)
    y = attention(Q, K, V, scale=1 / 2, key_vectors=of_keys, value_vectors=of_values)
    np.testing.assert_allclose(y, expected, rtol=1e-11)


@pytest.mark.parametrize(
    ("causal", "window", "rows"),
    [
        (True, None, ["1110", "1111"]),
        (True, 2, ["0110", "0011"]),
        (True, 1, ["0010", "0001"]),
        (False, None, ["1111", "1111"]),
        (False, 2, ["0111", "0011"]),
    ],
)
def test_the_queries_stand_at_the_last_places(causal: bool, window: int | None, rows: list[str]) -> None:
    seen = visible_mask(2, 4, causal=causal, window=window)
    assert ["".join(str(int(s)) for s in row) for row in seen] == rows


def test_padding_and_other_documents_are_not_seen() -> None:
    valid = np.array([[True, True, False], [False, True, True]])
    np.testing.assert_array_equal(visible_mask(3, 3, causal=False, key_valid=valid)[1], [[0, 1, 1]] * 3)
    seen = visible_mask(3, 3, causal=True, document=np.array([[7, 7, 9], [1, 2, 2]]))
    np.testing.assert_array_equal(seen[0], [[1, 0, 0], [1, 1, 0], [0, 0, 1]])
    np.testing.assert_array_equal(seen[1], [[1, 0, 0], [0, 1, 0], [0, 1, 1]])
    both = visible_mask(3, 3, causal=True, document=np.array([7, 7, 9]), key_valid=valid)
    np.testing.assert_array_equal(both[1], [[0, 0, 0], [0, 1, 0], [0, 0, 1]])


def by_hand(q: Array, k: Array, v: Array, *, causal: bool = True) -> Array:
    """The layer of two heads from its projected queries, keys and values."""
    heads = []
    for h in (slice(0, 4), slice(4, 8)):
        logits = q[..., h] @ k[..., h].swapaxes(-1, -2) / 2
        logits = np.where(np.tri(q.shape[1], dtype=bool), logits, -np.inf) if causal else logits
        heads.append(softmax(logits, axis=-1) @ v[..., h])
    return np.concatenate(heads, -1) @ W["o.weight"].T


def projected(name: str, x: Array = X) -> Array:
    return x @ W[f"{name}.weight"].T


def test_a_layer_concatenates_its_heads() -> None:
    q, k, v = map(projected, "qkv")
    np.testing.assert_allclose(mha(W, X, num_heads=2), by_hand(q, k, v), rtol=1e-11)
    np.testing.assert_allclose(
        mha(W, X, num_heads=2, causal=False), by_hand(q, k, v, causal=False), rtol=1e-11
    )


def test_queries_keys_and_values_are_clipped_before_all_else() -> None:
    q, k, v = (np.clip(projected(name), -0.7, 0.7) for name in "qkv")
    np.testing.assert_allclose(mha(W, X, num_heads=2, clip=0.7), by_hand(q, k, v), rtol=1e-11)


def test_heads_may_have_gains_of_their_own() -> None:
    gain = DRAW.standard_normal(8)
    w = {**W, "q_norm.weight": gain, "k_norm.weight": np.ones(8)}
    ones = np.ones(4)
    q, k = (
        np.concatenate(
            [NORM["rmsnorm"]({"weight": ones}, projected(n)[..., h]) for h in (slice(0, 4), slice(4, 8))], -1
        )
        for n in "qk"
    )
    y = mha(w, X, num_heads=2, qk_norm_over="heads")
    np.testing.assert_allclose(y, by_hand(q * gain, k, projected("v")), rtol=1e-11)


def test_keys_and_values_come_from_the_memory_and_positions_do_not_act_there() -> None:
    memory = DRAW.standard_normal((2, 3, 8))
    expected = by_hand(projected("q"), projected("k", memory), projected("v", memory), causal=False)
    for position in ("none", "rope", "alibi"):
        y = mha(W, X, num_heads=2, memory=memory, position=POSITION[position], window=1)
        np.testing.assert_allclose(y, expected, rtol=1e-11)


def each_head(f: Function) -> Function:
    return lambda x: np.concatenate([f(x[..., :4]), f(x[..., 4:])], -1)


def test_rotations_act_on_queries_and_keys_of_each_head_and_not_on_values() -> None:
    turn = each_head(lambda x: rope(x, np.arange(5.0)))
    expected = by_hand(turn(projected("q")), turn(projected("k")), projected("v"))
    np.testing.assert_allclose(mha(W, X, num_heads=2, position=POSITION["rope"]), expected, rtol=1e-11)
    hooked = mha(W, X, num_heads=2, rotate=lambda x: rope(x, np.arange(5.0)))
    np.testing.assert_allclose(hooked, expected, rtol=1e-11)


def test_biases_and_vectors_of_a_position_reach_the_logits() -> None:
    distance = np.arange(5.0)[:, None] - np.arange(5.0)
    q, k, v = map(projected, "qkv")
    heads = []
    for h, slope in ((slice(0, 4), 1 / 16), (slice(4, 8), 1 / 256)):
        logits = q[..., h] @ k[..., h].swapaxes(-1, -2) / 2 - slope * distance
        heads.append(softmax(np.where(distance >= 0, logits, -np.inf), axis=-1) @ v[..., h])
    expected = np.concatenate(heads, -1) @ W["o.weight"].T
    np.testing.assert_allclose(mha(W, X, num_heads=2, position=POSITION["alibi"]), expected, rtol=1e-11)
    tables = {name: DRAW.standard_normal((33, 4)) for name in ("key_table", "value_table")}
    constant = {name: np.broadcast_to(table[:1], table.shape) for name, table in tables.items()}
    moved = mha(W, X, num_heads=2, position=POSITION["shaw"], position_weights=constant)
    # One vector for all distances leaves the softmax and moves every value.
    shift = np.tile(constant["value_table"][0], 2) @ W["o.weight"].T
    np.testing.assert_allclose(moved, by_hand(q, k, v) + shift, rtol=1e-10)


@pytest.mark.parametrize("over", ["head", "width"])
def test_queries_and_keys_are_normed_before_they_turn(over: str) -> None:
    gains = {name: 1 + np.arange(4.0 if over == "head" else 8.0) for name in ("q_norm", "k_norm")}
    turn = each_head(lambda x: rope(x, np.arange(5.0)))

    def normed(name: str) -> Array:
        def norm(x: Array) -> Array:
            return NORM["rmsnorm"]({"weight": gains[f"{name}_norm"]}, x)

        return (each_head(norm) if over == "head" else norm)(projected(name))

    expected = by_hand(turn(normed("q")), turn(normed("k")), projected("v"))
    w = {**W, **{f"{name}.weight": gain for name, gain in gains.items()}}
    np.testing.assert_allclose(mha(w, X, num_heads=2, position=POSITION["rope"]), expected, rtol=1e-11)


@pytest.mark.parametrize("offset", [0, 1, 2, 7])
def test_queries_may_stand_elsewhere_among_the_keys(offset: int) -> None:
    seen = visible_mask(2, 4, causal=True, window=2, offset=offset)
    expected = [[j in (offset + t - 1, offset + t) for j in range(4)] for t in range(2)]
    np.testing.assert_array_equal(seen, expected)


def test_queries_outside_the_keys_are_of_no_document() -> None:
    seen = visible_mask(2, 3, causal=False, document=np.array([5, 5, 5]), offset=2)
    np.testing.assert_array_equal(seen, [[1, 1, 1], [0, 0, 0]])


def test_shaw_in_a_layer_is_its_scores_and_values_added() -> None:
    tables = {name: DRAW.standard_normal((33, 4)) for name in ("key_table", "value_table")}
    row, places = POSITION["shaw"], np.arange(5.0)
    assert row.score is not None and row.value is not None
    q, k, v = map(projected, "qkv")
    heads = []
    for h in (slice(0, 4), slice(4, 8)):
        logits = (q[..., h] @ k[..., h].swapaxes(-1, -2) + row.score(tables, q[..., h], places, places)) / 2
        p = softmax(np.where(np.tri(5, dtype=bool), logits, -np.inf), axis=-1)
        heads.append(p @ v[..., h] + row.value(tables, p, places, places))
    found = mha(W, X, num_heads=2, position=row, position_weights=tables)
    np.testing.assert_allclose(found, np.concatenate(heads, -1) @ W["o.weight"].T, rtol=1e-10)


def test_biases_and_sinks_of_a_layer_are_found_among_its_weights() -> None:
    biases = {f"{name}.bias": DRAW.standard_normal(8) for name in "qkvo"}
    q, k, v = (projected(name) + biases[f"{name}.bias"] for name in "qkv")
    w = {**W, **biases}
    np.testing.assert_allclose(
        mha(w, X, num_heads=2, bias=True), by_hand(q, k, v) + biases["o.bias"], rtol=1e-10
    )
    # A sink that takes all the probability leaves the bias of the output.
    drained = mha({**w, "sinks": np.array([1e4, 1e4])}, X, num_heads=2, sinks=True)
    np.testing.assert_allclose(drained, np.broadcast_to(biases["o.bias"], drained.shape), rtol=1e-12)
