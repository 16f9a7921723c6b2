"""Numerical gradients of functions whose derivatives are known."""

import numpy as np

from paribus.oracles import gradient

DRAW = np.random.default_rng(0)
X, DY = DRAW.standard_normal((2, 3)), DRAW.standard_normal((2, 4))
A = DRAW.standard_normal((3, 4))


def test_a_linear_map_has_its_transpose_at_steps_of_any_size() -> None:
    for size in (1.0, 1e-6):
        steps = size * DRAW.standard_normal((5, 2, 3))
        expected = (steps * (DY @ A.T)).sum((1, 2))
        np.testing.assert_allclose(gradient(lambda x: x @ A, X, DY, steps), expected, rtol=1e-8, atol=1e-15)


def test_one_step_gives_one_number_and_a_grid_of_steps_a_grid() -> None:
    assert gradient(lambda x: x @ A, X, DY, np.ones((2, 3))).shape == ()
    assert gradient(lambda x: x @ A, X, DY, np.ones((5, 7, 2, 3))).shape == (5, 7)


def test_the_error_is_cubic_in_the_step() -> None:
    x, one = np.array([0.7]), np.ones(1)
    errors = [gradient(np.sin, x, one, h * one).item() - h * np.cos(0.7) for h in (1e-2, 1e-3)]
    np.testing.assert_allclose(errors[0] / errors[1], 1000, rtol=1e-2)


def test_basis_steps_give_the_whole_gradient() -> None:
    size = 1e-5
    steps = size * np.eye(6).reshape(6, 2, 3)
    found = gradient(np.tanh, X, np.ones_like(X), steps).reshape(2, 3) / size
    np.testing.assert_allclose(found, 1 / np.cosh(X) ** 2, rtol=1e-9)
