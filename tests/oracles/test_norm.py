"""Norms by what they leave invariant and by hand."""

import numpy as np
import pytest

from paribus.oracles import NORM

DRAW = np.random.default_rng(0)
X, G, B = DRAW.standard_normal((3, 4, 20)), DRAW.standard_normal(20), DRAW.standard_normal(20)


def test_layernorm_is_rmsnorm_of_the_centred_input() -> None:
    centred = X - X.mean(-1, keepdims=True)
    np.testing.assert_allclose(
        NORM["layernorm"]({"weight": G}, X), NORM["rmsnorm"]({"weight": G}, centred, eps=1e-5), rtol=1e-13
    )


def test_an_offset_gain_is_one_more() -> None:
    expected = NORM["rmsnorm"]({"weight": 1 + G}, X)
    np.testing.assert_allclose(NORM["rmsnorm_offset"]({"weight": G}, X), expected, rtol=1e-13)

    expected = NORM["layernorm"]({"weight": 1 + G, "bias": B}, X)
    np.testing.assert_allclose(NORM["layernorm_offset"]({"weight": G, "bias": B}, X), expected, rtol=1e-13)


@pytest.mark.parametrize("name", ["layernorm", "rmsnorm", "prmsnorm"])
def test_groups_are_normed_each_by_itself(name: str) -> None:
    each = [
        NORM[name]({"weight": g}, x) for g, x in zip(np.split(G, 4), np.split(X, 4, axis=-1), strict=True)
    ]
    np.testing.assert_allclose(NORM[name]({"weight": G}, X, groups=4), np.concatenate(each, -1), rtol=1e-13)


def test_a_missing_gain_is_a_gain_of_one() -> None:
    np.testing.assert_array_equal(NORM["layernorm"]({}, X), NORM["layernorm"]({"weight": np.ones(20)}, X))


def test_a_partial_rms_counts_the_first_features_rounded_up_and_divides_all() -> None:
    y = NORM["prmsnorm"]({"weight": np.ones(20)}, X)  # 0.0625 * 20 = 1.25: two features
    np.testing.assert_allclose(y, X / np.sqrt((X[..., :2] ** 2).mean(-1, keepdims=True) + 1e-6), rtol=1e-13)


def test_batchnorm_norms_each_feature_over_all_tokens_and_then_by_what_it_ran_up() -> None:
    y = NORM["batchnorm"]({"weight": np.ones(20), "bias": np.zeros(20)}, X)
    np.testing.assert_allclose(y.mean((0, 1)), 0, atol=1e-13)
    np.testing.assert_allclose(y.var((0, 1)), X.var((0, 1)) / (X.var((0, 1)) + 1e-5), rtol=1e-12)
    running = {"running_mean": X.mean((0, 1)), "running_var": X.var((0, 1)), "weight": G, "bias": B}
    np.testing.assert_allclose(
        NORM["batchnorm_running"](running, X), NORM["batchnorm"](running, X), rtol=1e-12
    )


def test_dyt_gains_and_shifts_after_the_tanh() -> None:
    y = NORM["dyt"]({"alpha": np.array([0.5]), "weight": G, "bias": B}, X)
    np.testing.assert_allclose(y, G * np.tanh(X / 2) + B, rtol=1e-14)


@pytest.mark.parametrize("length", [0.0, 1e-7, 3.0])
def test_scalenorm_gives_the_length_g_unless_the_input_is_shorter_than_eps(length: float) -> None:
    y = NORM["scalenorm"]({"weight": np.array([4.0])}, np.array([[0.6, 0.8]]) * length)
    assert np.linalg.norm(y) == pytest.approx(4 * min(length / 1e-5, 1), rel=1e-12)


def test_no_norm_is_the_identity() -> None:
    assert NORM["none"]({}, X) is X


@pytest.mark.parametrize("name", ["layernorm", "dyt"])
def test_a_missing_bias_is_a_bias_of_zero(name: str) -> None:
    w = {"alpha": np.array([0.7]), "weight": G}
    np.testing.assert_array_equal(NORM[name](w, X), NORM[name]({**w, "bias": np.zeros(20)}, X))
    assert np.abs(NORM[name](w, X) - NORM[name]({**w, "bias": B}, X)).max() > 1e-3


def test_offset_and_fraction_act_together() -> None:
    expected = NORM["prmsnorm"]({"weight": 1 + G}, X)
    np.testing.assert_allclose(
        NORM["rmsnorm_offset"]({"weight": G}, X, fraction=0.0625), expected, rtol=1e-13
    )
