"""Rotations, biases and relative vectors against computed values and by their symmetries."""

import numpy as np
import pytest

from paribus.oracles import (
    POSITION,
    Array,
    alibi_slopes,
    frequencies,
    half_split_order,
    rope,
    rope_interleaved,
    shaw_scores,
    shaw_values,
    sinusoidal_table,
    t5_bucket,
    xpos,
)

DRAW = np.random.default_rng(0)
Q, K = DRAW.standard_normal((2, 3, 5, 8))
P = np.arange(5.0)
ROTATING = [name for name, row in POSITION.items() if row.rotate is not None]


def turn(
    name: str, x: Array, positions: Array, which: str = "q", length: int = 5, **options: object
) -> Array:
    rotate = POSITION[name].rotate
    assert rotate is not None
    return rotate(x, positions, which, length, 4, **options)


def test_sinusoids_alternate_and_slow_down() -> None:
    table = sinusoidal_table(4, 4)
    np.testing.assert_allclose(table[3], [np.sin(3), np.cos(3), np.sin(0.03), np.cos(0.03)], rtol=1e-14)


def test_embeddings_are_added_by_position() -> None:
    x, places = np.zeros((2, 3, 4)), np.array([2, 0, 1])
    learned, sinusoidal = POSITION["learned"].embed, POSITION["sinusoidal"].embed
    assert learned is not None and sinusoidal is not None
    np.testing.assert_array_equal(sinusoidal({}, x, places)[1], sinusoidal_table(3, 4)[places])
    table = DRAW.standard_normal((7, 4))
    np.testing.assert_array_equal(learned({"weight": table}, x, places)[0], table[places])


def test_half_split_order_reorders_as_published() -> None:
    assert half_split_order(6) == [0, 2, 4, 1, 3, 5]


def test_layouts_are_one_rotation_of_reordered_channels() -> None:
    order = half_split_order(8)
    np.testing.assert_allclose(rope_interleaved(Q, P)[..., order], rope(Q[..., order], P), rtol=1e-14)
    logits = rope_interleaved(Q, P) @ rope_interleaved(K, P).swapaxes(-1, -2)
    reordered = rope(Q[..., order], P) @ rope(K[..., order], P).swapaxes(-1, -2)
    np.testing.assert_allclose(logits, reordered, rtol=1e-12)


def test_rope_turns_pairs_by_hand() -> None:
    x = np.array([[1.0, 0.0, 0.0, 2.0]])
    c, s = np.cos, np.sin
    half = [[c(3), -2 * s(0.03), s(3), 2 * c(0.03)]]  # pairs (0, 2) and (1, 3)
    np.testing.assert_allclose(rope(x, np.array([3.0])), half, rtol=1e-13)
    inter = [[c(3), s(3), -2 * s(0.03), 2 * c(0.03)]]  # pairs (0, 1) and (2, 3)
    np.testing.assert_allclose(rope_interleaved(x, np.array([3.0])), inter, rtol=1e-13)


def test_partial_rope_leaves_the_last_channels_and_takes_frequencies_of_the_turned_ones() -> None:
    y = rope(Q, P, fraction=0.5)
    np.testing.assert_array_equal(y[..., 4:], Q[..., 4:])
    np.testing.assert_allclose(y[..., :4], rope(Q[..., :4], P), rtol=1e-14)
    with pytest.raises(ValueError, match="pair up"):
        rope(Q, P, fraction=0.4)


@pytest.mark.parametrize("name", ROTATING)
def test_logits_depend_on_the_distance_only(name: str) -> None:
    here = turn(name, Q, P, "q") @ turn(name, K, P, "k").swapaxes(-1, -2)
    there = turn(name, Q, P + 100, "q") @ turn(name, K, P + 100, "k").swapaxes(-1, -2)
    np.testing.assert_allclose(here, there, rtol=1e-9, atol=1e-10)


def test_the_table_rotates_as_the_functions_do() -> None:
    np.testing.assert_allclose(turn("rope", Q, P), rope(Q, P), rtol=1e-14)
    np.testing.assert_allclose(turn("rope", Q, P, base=50.0), rope(Q, P, 50.0), rtol=1e-14)
    np.testing.assert_allclose(turn("rope_interleaved", Q, P), rope_interleaved(Q, P), rtol=1e-14)


def test_defaults_of_scalings_are_a_factor_of_four_and_the_length_of_training() -> None:
    theta, factor = frequencies("rope_yarn", 8, length=5, original_length=4, factor=4.0)
    x = np.zeros((1, 8))
    x[0, :4] = 1
    y = turn("rope_yarn", x, np.array([3.0]))
    np.testing.assert_allclose(y[0, :4], factor * np.cos(3 * theta), rtol=1e-13)
    np.testing.assert_allclose(y[0, 4:], factor * np.sin(3 * theta), rtol=1e-13)
    np.testing.assert_array_equal(
        turn("rope_llama3", Q, P), turn("rope_llama3", Q, P, factor=8.0, original_length=8192)
    )


def test_dynamic_ntk_looks_at_the_length_of_the_sequence() -> None:
    np.testing.assert_allclose(turn("rope_dynamic", Q, P, length=4), rope(Q, P), rtol=1e-14)
    assert np.abs(turn("rope_dynamic", Q, P, length=8) - rope(Q, P)).max() > 1e-2


def test_xpos_grows_queries_and_shrinks_keys_alike() -> None:
    n = np.array([256.0])
    q, k = xpos(np.ones((1, 4)), n, "q", 1, 1), xpos(np.ones((1, 4)), n, "k", 1, 1)
    plain = rope(np.ones((1, 4)), n)
    zeta = np.array([0.4 / 1.4, 0.9 / 1.4, 0.4 / 1.4, 0.9 / 1.4])  # 2i/d is 0, 1/2
    np.testing.assert_allclose(q, plain * zeta**0.5, rtol=1e-12)
    np.testing.assert_allclose(k, plain * zeta**-0.5, rtol=1e-12)


def test_alibi_has_the_published_slopes() -> None:
    assert alibi_slopes(6) == [1 / 4, 1 / 16, 1 / 64, 1 / 256, 1 / 2, 1 / 8]
    assert alibi_slopes(1) == [1 / 256]
    assert alibi_slopes(8) == [2.0**-h for h in range(1, 9)] == alibi_slopes(12)[:8]
    published = [0.70710678, 0.35355339, 0.17677670, 0.08838835]
    np.testing.assert_allclose(alibi_slopes(12)[8:], published, atol=6e-9)


def test_alibi_falls_with_the_distance() -> None:
    bias = POSITION["alibi"].bias
    assert bias is not None
    table = bias({}, np.array([5.0]), np.array([2.0, 5.0, 6.0]), 2, False)
    np.testing.assert_array_equal(table, [[[-3 / 16, 0, -1 / 16]], [[-3 / 256, 0, -1 / 256]]])


@pytest.mark.parametrize(
    ("distance", "bucket"),
    [
        (7, 7),
        (8, 8),
        (11, 8),
        (12, 9),
        (16, 10),
        (23, 11),
        (32, 12),
        (46, 13),
        (64, 14),
        (91, 15),
        (1000, 15),
    ],
)
def test_t5_buckets_of_both_directions(distance: int, bucket: int) -> None:
    assert t5_bucket(-distance, causal=False) == bucket
    assert t5_bucket(distance, causal=False) == bucket + 16


@pytest.mark.parametrize(
    ("distance", "bucket"), [(0, 0), (15, 15), (16, 16), (20, 17), (32, 21), (64, 26), (91, 29), (127, 31)]
)
def test_t5_buckets_of_one_direction(distance: int, bucket: int) -> None:
    assert t5_bucket(-distance, causal=True) == bucket


def test_t5_buckets_of_the_future() -> None:
    assert [t5_bucket(r, causal=False) for r in (0, 1, 200)] == [0, 17, 31]
    assert {t5_bucket(r, causal=True) for r in range(1, 200)} == {0}


def test_t5_buckets_are_the_papers_logarithm() -> None:
    for n in range(16, 400):
        paper = 16 + int(np.log(n / 16) / np.log(128 / 16) * 16 + 1e-9)
        assert t5_bucket(-n, causal=True) == min(31, paper)


def test_t5_reads_one_number_for_each_head() -> None:
    bias, table = POSITION["t5"].bias, DRAW.standard_normal((8, 3))
    assert bias is not None
    options = {"num_buckets": 8, "max_distance": 16}
    found = bias({"weight": table}, P, P, 3, True, **options)
    assert found.shape == (3, 5, 5)
    np.testing.assert_array_equal(found[:, 4, 1], table[t5_bucket(-3, causal=True, **options)])


def test_shaw_clips_the_distance_and_has_row_k_for_zero() -> None:
    w = {"key_table": np.arange(5.0)[:, None], "value_table": 10 * np.arange(5.0)[:, None]}
    keys, values = POSITION["shaw"].key_vectors, POSITION["shaw"].value_vectors
    assert keys is not None and values is not None
    found = keys(w, np.array([4.0]), np.arange(9.0), max_distance=2)[0, :, 0]
    np.testing.assert_array_equal(found, [0, 0, 0, 1, 2, 3, 4, 4, 4])
    np.testing.assert_array_equal(
        values(w, np.array([4.0]), np.arange(9.0), max_distance=2)[0, :, 0], 10 * found
    )
    with pytest.raises(ValueError, match="33"):
        keys(w, P, P)


def test_scores_and_values_of_shaw_are_its_vectors_contracted() -> None:
    w = {"key_table": DRAW.standard_normal((5, 8)), "value_table": DRAW.standard_normal((5, 8))}
    row, p = POSITION["shaw"], DRAW.random((3, 5, 5))
    assert row.key_vectors is not None and row.value_vectors is not None
    assert (row.score, row.value) == (shaw_scores, shaw_values)
    keys, values = (f(w, P, P, max_distance=2) for f in (row.key_vectors, row.value_vectors))
    scores = shaw_scores(w, Q, P, P, max_distance=2)
    np.testing.assert_allclose(scores, np.einsum("btk,tsk->bts", Q, keys), rtol=1e-12, atol=1e-14)
    found = shaw_values(w, p, P, P, max_distance=2)
    np.testing.assert_allclose(found, np.einsum("bts,tsk->btk", p, values), rtol=1e-12, atol=1e-14)


def test_partial_xpos_neither_turns_nor_scales_the_last_channels() -> None:
    y = xpos(Q, P, "q", 5, 5, fraction=0.5)
    np.testing.assert_array_equal(y[..., 4:], Q[..., 4:])
    np.testing.assert_allclose(y[..., :4], xpos(Q[..., :4], P, "q", 5, 5), rtol=1e-14)
