"""The score of an arm against numpy's own least squares and sums done by hand."""

import math

import numpy as np
import pytest

from paribus.study.verdicts import score


def polyfit_minimum(rates, means):
    x = np.log(rates)
    a, b, c = np.polyfit(x, means, 2)
    at = np.clip(-b / (2 * a), x[0], x[-1])
    return a * at**2 + b * at + c, math.exp(at)


# -- the optimum over learning rates


def test_optimum_finds_the_vertex_of_a_parabola_in_log_rate():
    rates = np.array([1e-3, 2e-3, 4e-3])
    best = score.optimum(rates, 1.5 + 0.2 * np.log(rates / 2.3e-3) ** 2)
    assert best.value == pytest.approx(1.5) and best.rate == pytest.approx(2.3e-3)
    assert (best.index, best.state) == (1, "inside")


def test_optimum_agrees_with_polyfit_on_an_uneven_grid():
    rates, means = np.array([1e-3, 1.7e-3, 6e-3]), np.array([3.1, 2.9, 3.0])
    best = score.optimum(rates, means)
    assert (best.value, best.rate) == pytest.approx(polyfit_minimum(rates, means))


def test_optimum_is_local_so_far_rates_change_nothing():
    rates = np.array([5e-4, 1e-3, 2e-3, 4e-3, 8e-3])
    near = [3.0, 2.9, 2.95]
    expected = polyfit_minimum(rates[1:4], near)
    for far in (3.2, 9.0, np.inf, np.nan):
        best = score.optimum(rates, [far, *near, far])
        assert (best.value, best.rate) == pytest.approx(expected) and best.index == 2


@pytest.mark.parametrize(
    "means, state, index",
    [
        ([1.0, 2.0, 3.0], "low edge", 0),
        ([3.0, 2.0, 1.0], "high edge", 2),
        ([1.0, np.inf, np.inf], "low edge", 0),
        ([1.0], "both edges", 0),
    ],
)
def test_minimum_on_the_edge_is_said_and_scored_as_the_grid_value(means, state, index):
    rates = np.array([1.0, 2.0, 4.0])[: len(means)]
    best = score.optimum(rates, means)
    assert (best.state, best.index) == (state, index)
    assert best.value == 1.0 and best.rate == pytest.approx(rates[index])


def test_diverged_neighbour_counts_as_higher_and_leaves_the_grid_value():
    best = score.optimum([1.0, 2.0, 4.0], [1.1, 1.0, np.inf])
    assert (best.state, best.value, best.rate) == ("inside", 1.0, pytest.approx(2.0))


def test_optimum_refuses_what_it_cannot_know():
    with pytest.raises(ValueError, match="unknown"):
        score.optimum([1, 2, 4], [1.1, 1.0, np.nan])
    with pytest.raises(ValueError, match="no rate has a finite mean"):
        score.optimum([1, 2, 4], [np.inf, np.inf, np.nan])


# -- pseudo-values


def test_pseudo_values_of_a_worked_example():
    # Rates 1, e, e^2, so x = 0, 1, 2. Seed means 2, 1, 2: minimum 1 at x = 1.
    # Without seed 1 the curve is seed 2, (3, 1, 1): x^2 - 3x + 3, minimum 0.75; without 2, (1, 1, 3): the same.
    # Both pseudo-values are 2 * 1 - 1 * 0.75.
    losses = [[1.0, 3.0], [1.0, 1.0], [3.0, 1.0]]
    assert score.pseudo_values(np.exp([0, 1, 2]), losses) == pytest.approx([1.25, 1.25])


def test_pseudo_values_are_the_jackknife_of_a_polyfit_minimum():
    rng = np.random.default_rng(0)
    rates = np.array([1e-3, 2e-3, 4e-3])
    losses = 3 + np.array([0.2, 0.0, 0.1])[:, None] + 0.02 * rng.standard_normal((3, 5))
    theta = polyfit_minimum(rates, losses.mean(axis=1))[0]
    without = [polyfit_minimum(rates, np.delete(losses, j, axis=1).mean(axis=1))[0] for j in range(5)]
    assert score.pseudo_values(rates, losses) == pytest.approx(5 * theta - 4 * np.array(without))


def test_bracket_is_that_of_all_seeds_even_where_one_seed_decides_it():
    # Without seed 0 the grid minimum would be the second rate; the bracket stays around the third.
    rates = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
    losses = np.array([[9.0, 9, 9], [4.0, 2.0, 2.0], [2.0, 2.3, 2.3], [3.0, 3, 3], [9.0, 9, 9]])
    assert np.argmin(losses[:, 1:].mean(axis=1)) == 1 and np.argmin(losses.mean(axis=1)) == 2
    theta = polyfit_minimum(rates[1:4], losses[1:4].mean(axis=1))[0]
    without = polyfit_minimum(rates[1:4], losses[1:4, 1:].mean(axis=1))[0]
    assert score.pseudo_values(rates, losses)[0] == pytest.approx(3 * theta - 2 * without)


def test_leaving_out_a_seed_may_turn_the_curve_over():
    # The mean is (2.1, 2, 2.2); without seed 0 it is (2.0, 2.3, 2.25), whose minimum is its lowest end.
    losses = np.array([[2.3, 2.0, 2.0], [1.4, 2.3, 2.3], [2.1, 2.25, 2.25]])
    theta = polyfit_minimum([1, 2, 4], losses.mean(axis=1))[0]
    assert score.pseudo_values([1, 2, 4], losses)[0] == pytest.approx(3 * theta - 2 * 2.0)


def test_pseudo_values_without_a_parabola_are_the_losses_themselves():
    losses = np.array([[3.0, 3.2], [2.0, 2.1], [np.inf, 2.9]])
    assert score.pseudo_values([1, 2, 4], losses).tolist() == [2.0, 2.1]
    assert score.pseudo_values([1, 2], losses[:2]).tolist() == [2.0, 2.1]
    assert score.pseudo_values([1, 2, 4], [[2.0], [1.0], [2.0]]).tolist() == [1.0]


def test_a_diverged_seed_outweighs_a_missing_one_in_the_mean():
    table = np.array([[1.0, 3.0], [np.inf, np.nan], [np.nan, 1.0], [np.inf, 1.0]])
    assert score.seed_means(table) == pytest.approx([2.0, np.inf, np.nan, np.inf], nan_ok=True)


# -- how much the rate matters


def test_rate_sensitivity_of_a_worked_example():
    # Means 3, 2, 4; the last rate lost one seed of two, which counts as the untrained 6: (4 + 6) / 2 = 5.
    losses = [[3.1, 2.9], [2.0, 2.0], [4.0, 4.0], [4.0, np.inf]]
    assert score.rate_sensitivity(losses, 6.0) == pytest.approx((1 + 0 + 2 + 3) / 4)


def test_rate_sensitivity_is_zero_when_the_rate_does_not_matter_and_has_no_zero_point():
    flat = np.full((5, 3), 2.9)
    assert score.rate_sensitivity(flat, 8.0) == 0
    steep = flat + np.linspace(0, 1, 5)[:, None]
    assert score.rate_sensitivity(steep, 8.0) == pytest.approx(score.rate_sensitivity(steep + 2, 10.0))


def test_a_loss_worse_than_untrained_counts_as_untrained():
    diverged, worse = [[2.0], [np.inf]], [[2.0], [99.0]]
    assert score.rate_sensitivity(diverged, 8.0) == score.rate_sensitivity(worse, 8.0) == 3.0


def test_a_failed_trial_is_left_out_and_a_rate_without_any_leaves_nothing_to_say():
    assert score.rate_sensitivity([[2.0, np.nan], [4.0, 4.0]], 8.0) == 1.0
    assert score.rate_sensitivity([[2.0, 2.0], [np.nan, np.nan]], 8.0) is None


def test_an_arm_that_never_learnt_has_no_sensitivity():
    assert score.rate_sensitivity(np.full((3, 2), np.inf), 8.0) is None
    assert score.rate_sensitivity([[8.0], [8.5]], 8.0) is None
