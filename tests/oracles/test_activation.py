"""Activations with parameters or across features against published values and by hand."""

import numpy as np
import pytest

from paribus.oracles import ACTIVATION, POINTWISE

X = np.random.default_rng(0).standard_normal((3, 6))


def test_raw_alphas_of_xielu_start_at_the_published_ones() -> None:
    assert np.log(np.expm1(0.8)) == pytest.approx(0.20338, abs=6e-6)
    assert np.log(np.expm1(0.3)) == pytest.approx(-1.05023, abs=6e-6)


@pytest.mark.parametrize(("x", "y"), [(1.0, 1.3), (-1.0, -0.2056964), (-3.0, 0.1398297)])
def test_xielu_takes_the_published_values(x: float, y: float) -> None:
    w = {"alpha_p": np.log(np.expm1([0.8])), "alpha_n": np.log(np.expm1([0.3]))}
    assert ACTIVATION["xielu"](w, np.array([x]))[0] == pytest.approx(y, abs=6e-8)


def test_xielu_keeps_its_exponential_up_to_just_below_zero() -> None:
    w = {"alpha_p": np.log(np.expm1([0.8])), "alpha_n": np.log(np.expm1([0.3]))}
    y = ACTIVATION["xielu"](w, np.array([-0.05, -1e-7]))
    np.testing.assert_allclose(y[0], (np.expm1(-0.05) + 0.05) * 0.8 - 0.025, rtol=1e-13)
    np.testing.assert_allclose(y[1], (np.expm1(-1e-6) + 1e-7) * 0.8 - 5e-8, rtol=1e-13)


def test_swish_is_half_at_beta_zero_relu_at_large_and_quick_gelu_between() -> None:
    np.testing.assert_array_equal(ACTIVATION["swish"]({}, X, beta=0.0), X / 2)
    np.testing.assert_allclose(ACTIVATION["swish"]({}, X, beta=1e6), np.maximum(X, 0), atol=1e-15)
    np.testing.assert_array_equal(ACTIVATION["swish"]({}, X, beta=1.702), POINTWISE["gelu_quick"].value(X))
    np.testing.assert_array_equal(ACTIVATION["swish"]({}, X), POINTWISE["silu"].value(X))


def test_a_learned_beta_takes_the_place_of_the_given_one_channel_by_channel() -> None:
    beta = np.linspace(-1, 2, 6)
    y = ACTIVATION["swish"]({"beta": beta}, X, beta=9.0, learnable=True, per="channel")
    for channel in range(6):
        np.testing.assert_array_equal(
            y[:, channel], ACTIVATION["swish"]({}, X[:, channel], beta=beta[channel])
        )
    with pytest.raises(ValueError, match="not one per layer"):
        ACTIVATION["swish"]({"beta": beta}, X, learnable=True)


def test_slopes_act_below_zero_only() -> None:
    slope, x = np.array([0.5, 2.0]), np.array([[-2.0, -2.0], [3.0, 3.0]])
    np.testing.assert_array_equal(ACTIVATION["prelu"]({"slope": slope}, x), [[-1, -4], [3, 3]])
    np.testing.assert_allclose(ACTIVATION["rrelu"]({}, x[:, 0]), [-2 * 11 / 48, 3], rtol=1e-15)


def test_maxout_takes_features_a_width_apart() -> None:
    x = np.array([[1.0, 9.0, 4.0, 2.0, 5.0, 3.0]])
    np.testing.assert_array_equal(ACTIVATION["maxout"]({}, x), [[2, 9, 4]])
    np.testing.assert_array_equal(ACTIVATION["maxout"]({}, x, pieces=3), [[5, 9]])


def test_softmax_sums_to_one_and_does_not_overflow() -> None:
    y = ACTIVATION["softmax"]({}, np.array([[1000.0, 1000.0 + np.log(3)]]))
    np.testing.assert_allclose(y, [[0.25, 0.75]], rtol=1e-12)


def test_polyrelu_is_a_cubic_above_zero_and_its_constant_below() -> None:
    w = {"weight": np.array([1.0, 2.0, 3.0, 4.0])}
    np.testing.assert_array_equal(ACTIVATION["polyrelu"](w, np.array([-5.0, 0.0, 2.0])), [1, 1, 49])


def test_each_power_of_polynorm_has_a_root_mean_square_of_one() -> None:
    for power in range(3):
        w = {"weight": np.eye(3)[power], "bias": np.zeros(1)}
        y = ACTIVATION["polynorm"](w, X)
        np.testing.assert_allclose((y**2).mean(-1), 1, rtol=1e-4)  # eps
        np.testing.assert_array_equal(np.sign(y), np.sign(X) ** (power + 1))
    w = {"weight": np.zeros(3), "bias": np.array([0.5])}
    np.testing.assert_array_equal(ACTIVATION["polynorm"](w, X), np.full_like(X, 0.5))


@pytest.mark.parametrize("name", POINTWISE)
def test_activations_without_parameters_are_the_pointwise_ones(name: str) -> None:
    x = np.linspace(-7, 7, 29)
    np.testing.assert_allclose(ACTIVATION[name]({}, x), POINTWISE[name].value(x), rtol=1e-14, atol=1e-300)


@pytest.mark.parametrize(
    ("name", "constants", "x", "y"),
    [
        ("leaky_relu", {"slope": 0.5}, [-2, 2], [-1, 2]),
        ("elu", {"alpha": 2.0}, [-1, 2], [2 * np.expm1(-1), 2]),
        ("celu", {"alpha": 2.0}, [-1, 2], [2 * np.expm1(-0.5), 2]),
        ("hardshrink", {"bound": 1.0}, [-1.5, -0.9, 0.9, 1.5], [-1.5, 0, 0, 1.5]),
        ("softshrink", {"bound": 1.0}, [-1.5, -0.9, 0.9, 1.5], [-0.5, 0, 0, 0.5]),
    ],
)
def test_constants_act_where_they_stand_in_the_formula(
    name: str, constants: dict[str, float], x: list[float], y: list[float]
) -> None:
    found = ACTIVATION[name]({}, np.array(x, dtype=float), constants=constants)
    np.testing.assert_allclose(found, y, rtol=1e-15)


def test_functions_without_constants_take_none() -> None:
    with pytest.raises(TypeError):
        ACTIVATION["gelu"]({}, X, constants={"alpha": 1.0})
