"""The statistics against outside sources: published tables, scipy, statsmodels, and sums done by hand."""

import inspect
import math

import numpy as np
import pytest
from scipy import stats

from paribus.study import statistics as st

# Dunnett (1964), two-sided, equal correlation 1/2: comparisons 1 to 9.
DUNNETT_95 = {
    5: (2.57, 3.03, 3.29, 3.48, 3.62, 3.73, 3.82, 3.90, 3.97),
    10: (2.23, 2.57, 2.76, 2.89, 2.99, 3.07, 3.14, 3.19, 3.24),
    15: (2.13, 2.44, 2.61, 2.73, 2.82, 2.89, 2.95, 3.00, 3.04),
    20: (2.09, 2.38, 2.54, 2.65, 2.73, 2.80, 2.86, 2.90, 2.95),
    math.inf: (1.96, 2.21, 2.35, 2.44, 2.51, 2.57, 2.61, 2.65, 2.69),
}
DUNNETT_99 = {
    10: (3.17, 3.53, 3.74, 3.88, 3.99, 4.08, 4.16, 4.22, 4.28),
    math.inf: (2.58, 2.79, 2.92, 3.00, 3.06, 3.11, 3.15, 3.19, 3.22),
}
# Pearson and Hartley, table 31: upper 5 % and 1 % points of F_max, 3 degrees of freedom, k = 2 to 6.
F_MAX_3 = {0.05: (15.4, 27.8, 39.2, 50.7, 62.0), 0.01: (47.5, 85, 120, 151, 184)}


def layout(values, *, blocked=True):
    """The two-way layout, or the same arms without a block (as scipy's own tests assume)."""
    two_way = st.two_way(values)
    if blocked:
        return two_way
    k, n = np.shape(values)
    return st.TwoWay(
        means=two_way.means,
        variances=two_way.variances,
        residual_variance=float(two_way.variances.mean()),
        df=k * (n - 1),
        pairing_ratio=1.0,
        seeds=n,
    )


def polyfit_minimum(rates, means):
    x = np.log(rates)
    a, b, c = np.polyfit(x, means, 2)
    at = np.clip(-b / (2 * a), x[0], x[-1])
    return a * at**2 + b * at + c, math.exp(at)


# -- the optimum over learning rates


def test_optimum_finds_the_vertex_of_a_parabola_in_log_rate():
    rates = np.array([1e-3, 2e-3, 4e-3])
    best = st.optimum(rates, 1.5 + 0.2 * np.log(rates / 2.3e-3) ** 2)
    assert best.value == pytest.approx(1.5) and best.rate == pytest.approx(2.3e-3)
    assert (best.index, best.state) == (1, "inside")


def test_optimum_agrees_with_polyfit_on_an_uneven_grid():
    rates, means = np.array([1e-3, 1.7e-3, 6e-3]), np.array([3.1, 2.9, 3.0])
    best = st.optimum(rates, means)
    assert (best.value, best.rate) == pytest.approx(polyfit_minimum(rates, means))


def test_optimum_is_local_so_far_rates_change_nothing():
    rates = np.array([5e-4, 1e-3, 2e-3, 4e-3, 8e-3])
    near = [3.0, 2.9, 2.95]
    expected = polyfit_minimum(rates[1:4], near)
    for far in (3.2, 9.0, np.inf, np.nan):
        best = st.optimum(rates, [far, *near, far])
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
    best = st.optimum(rates, means)
    assert (best.state, best.index) == (state, index)
    assert best.value == 1.0 and best.rate == pytest.approx(rates[index])


def test_diverged_neighbour_counts_as_higher_and_leaves_the_grid_value():
    best = st.optimum([1.0, 2.0, 4.0], [1.1, 1.0, np.inf])
    assert (best.state, best.value, best.rate) == ("inside", 1.0, pytest.approx(2.0))


def test_optimum_refuses_what_it_cannot_know():
    with pytest.raises(ValueError, match="unknown"):
        st.optimum([1, 2, 4], [1.1, 1.0, np.nan])
    with pytest.raises(ValueError, match="no rate has a finite mean"):
        st.optimum([1, 2, 4], [np.inf, np.inf, np.nan])


# -- pseudo-values


def test_pseudo_values_of_a_worked_example():
    # Rates 1, e, e^2, so x = 0, 1, 2. Seed means 2, 1, 2: minimum 1 at x = 1.
    # Without seed 1 the curve is seed 2, (3, 1, 1): x^2 - 3x + 3, minimum 0.75; without 2, (1, 1, 3): the same.
    # Both pseudo-values are 2 * 1 - 1 * 0.75.
    losses = [[1.0, 3.0], [1.0, 1.0], [3.0, 1.0]]
    assert st.pseudo_values(np.exp([0, 1, 2]), losses) == pytest.approx([1.25, 1.25])


def test_pseudo_values_are_the_jackknife_of_a_polyfit_minimum():
    rng = np.random.default_rng(0)
    rates = np.array([1e-3, 2e-3, 4e-3])
    losses = 3 + np.array([0.2, 0.0, 0.1])[:, None] + 0.02 * rng.standard_normal((3, 5))
    theta = polyfit_minimum(rates, losses.mean(axis=1))[0]
    without = [polyfit_minimum(rates, np.delete(losses, j, axis=1).mean(axis=1))[0] for j in range(5)]
    assert st.pseudo_values(rates, losses) == pytest.approx(5 * theta - 4 * np.array(without))


def test_bracket_is_that_of_all_seeds_even_where_one_seed_decides_it():
    # Without seed 0 the grid minimum would be the second rate; the bracket stays around the third.
    rates = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
    losses = np.array([[9.0, 9, 9], [4.0, 2.0, 2.0], [2.0, 2.3, 2.3], [3.0, 3, 3], [9.0, 9, 9]])
    assert np.argmin(losses[:, 1:].mean(axis=1)) == 1 and np.argmin(losses.mean(axis=1)) == 2
    theta = polyfit_minimum(rates[1:4], losses[1:4].mean(axis=1))[0]
    without = polyfit_minimum(rates[1:4], losses[1:4, 1:].mean(axis=1))[0]
    assert st.pseudo_values(rates, losses)[0] == pytest.approx(3 * theta - 2 * without)


def test_leaving_out_a_seed_may_turn_the_curve_over():
    # The mean is (2.1, 2, 2.2); without seed 0 it is (2.0, 2.3, 2.25), whose minimum is its lowest end.
    losses = np.array([[2.3, 2.0, 2.0], [1.4, 2.3, 2.3], [2.1, 2.25, 2.25]])
    theta = polyfit_minimum([1, 2, 4], losses.mean(axis=1))[0]
    assert st.pseudo_values([1, 2, 4], losses)[0] == pytest.approx(3 * theta - 2 * 2.0)


def test_pseudo_values_without_a_parabola_are_the_losses_themselves():
    losses = np.array([[3.0, 3.2], [2.0, 2.1], [np.inf, 2.9]])
    assert st.pseudo_values([1, 2, 4], losses).tolist() == [2.0, 2.1]
    assert st.pseudo_values([1, 2], losses[:2]).tolist() == [2.0, 2.1]
    assert st.pseudo_values([1, 2, 4], [[2.0], [1.0], [2.0]]).tolist() == [1.0]


def test_a_diverged_seed_outweighs_a_missing_one_in_the_mean():
    table = np.array([[1.0, 3.0], [np.inf, np.nan], [np.nan, 1.0], [np.inf, 1.0]])
    assert st.seed_means(table) == pytest.approx([2.0, np.inf, np.nan, np.inf], nan_ok=True)


# -- two-way layout


def test_two_way_of_a_worked_example():
    # Means 2 and 4, seed means 2, 3, 4, grand mean 3; residuals +-(1, 0, -1) / 2 twice over, so their
    # sum of squares is 1 on 2 degrees of freedom; within arms the variances are 0.25 and 2.25.
    fit = st.two_way([[1.5, 2.0, 2.5], [2.5, 4.0, 5.5]])
    assert fit.means == pytest.approx([2, 4]) and fit.variances == pytest.approx([0.25, 2.25])
    assert (fit.residual_variance, fit.df) == (pytest.approx(0.5), 2)
    assert fit.pairing_ratio == pytest.approx(1.25 / 0.5)
    assert fit.standard_error == pytest.approx(math.sqrt(2 * 0.5 / 3))


def test_two_way_agrees_with_least_squares_of_statsmodels():
    import pandas
    from statsmodels.formula.api import ols

    rng = np.random.default_rng(1)
    values = rng.standard_normal((5, 4)) + rng.standard_normal(4) + np.arange(5)[:, None]
    arm, seed = np.indices(values.shape)
    data = pandas.DataFrame({"y": values.ravel(), "arm": arm.ravel(), "seed": seed.ravel()})
    reference = ols("y ~ C(arm) + C(seed)", data).fit()
    fit = st.two_way(values)
    assert fit.residual_variance == pytest.approx(reference.mse_resid)
    assert fit.df == reference.df_resid
    assert fit.means[2] - fit.means[0] == pytest.approx(reference.params["C(arm)[T.2]"])
    assert fit.standard_error == pytest.approx(reference.bse["C(arm)[T.2]"])


def test_rounding_is_not_taken_for_noise():
    fit = st.two_way(np.array([2.9, 2.8, 2.7])[:, None] + np.array([0.1, 0.3, 0.7, 1e-3]))
    assert fit.residual_variance == 0 and math.isnan(fit.pairing_ratio)
    with pytest.raises(ValueError, match="at least 2"):
        st.two_way([[1.0, 2.0]])


# -- Dunnett


@pytest.mark.parametrize("level, table", [(0.95, DUNNETT_95), (0.99, DUNNETT_99)])
def test_dunnett_critical_values_are_the_published_ones(level, table):
    for df, row in table.items():
        ours = [st.dunnett_critical(m, df, level) for m in range(1, 10)]
        assert ours == pytest.approx(row, abs=0.0051), df


@pytest.mark.parametrize("df", [1, 2, 3, 9, 15, 100])
def test_dunnett_with_one_comparison_is_student(df):
    assert st.dunnett_critical(1, df) == pytest.approx(stats.t.ppf(0.975, df), abs=1e-7)
    t = np.array([0.0, 0.5, 3.0, 12.0])
    assert st.dunnett_p(t, 1, df) == pytest.approx(2 * stats.t.sf(t, df), rel=1e-6)


@pytest.mark.parametrize("m, df", [(2, 2), (3, 5), (5, 15), (8, 40)])
def test_dunnett_agrees_with_scipy_multivariate_t(m, df):
    shape = np.full((m, m), 0.5) + np.eye(m) / 2
    joint = stats.multivariate_t(shape=shape, df=df, seed=0)
    c = np.full(m, st.dunnett_critical(m, df))
    assert joint.cdf(c, lower_limit=-c, maxpts=200_000) == pytest.approx(0.95, abs=1e-4)


def test_dunnett_agrees_with_scipy_multivariate_normal_at_infinite_df():
    c = np.full(4, st.dunnett_critical(4, math.inf))
    joint = stats.multivariate_normal(cov=np.full((4, 4), 0.5) + np.eye(4) / 2, abseps=1e-6)
    assert joint.cdf(c, lower_limit=-c) == pytest.approx(0.95, abs=2e-5)


def test_dunnett_comparisons_agree_with_scipy_on_a_layout_without_block():
    rng = np.random.default_rng(2)
    values = rng.standard_normal((5, 6)) + np.array([0, 0.3, 1, 1.5, 2.5])[:, None]
    ours = st.compare_pooled(layout(values, blocked=False), 0)
    theirs = stats.dunnett(*values[1:], control=values[0], rng=np.random.default_rng(0))
    assert ours.p_adjusted[1:] == pytest.approx(theirs.pvalue, abs=1e-3)
    interval = theirs.confidence_interval()
    assert ours.differences[1:] - ours.half_widths[1:] == pytest.approx(interval.low, abs=5e-3)
    assert ours.differences[1:] + ours.half_widths[1:] == pytest.approx(interval.high, abs=5e-3)


def test_dunnett_p_is_the_inverse_of_the_critical_value_and_stays_precise_far_out():
    assert st.dunnett_p(-st.dunnett_critical(5, 15), 5, 15) == pytest.approx(0.05, abs=1e-9)
    far = st.dunnett_p(30.0, 5, 15)  # nearly Bonferroni
    assert far == pytest.approx(10 * stats.t.sf(30.0, 15), rel=0.05)


@pytest.mark.parametrize("m, df, level", [(0, 5, 0.95), (2, 0, 0.95), (2, 5, 1.0), (2, math.nan, 0.95)])
def test_dunnett_refuses_impossible_requests(m, df, level):
    with pytest.raises(ValueError, match="no Dunnett value"):
        st.dunnett_critical(m, df, level)


@pytest.mark.parametrize("compare", [st.compare_pooled, st.compare_welch])
def test_interval_excludes_zero_exactly_when_adjusted_p_is_below_five_percent(compare):
    rng = np.random.default_rng(3)
    seen = set()
    for _ in range(100):
        result = compare(st.two_way(rng.standard_normal((5, 4)) + rng.uniform(0, 4, (5, 1))), 2)
        excludes = np.abs(result.differences) > result.half_widths
        assert (excludes == (result.p_adjusted < 0.05)).all() and not excludes[2]
        assert (result.differences[2], result.half_widths[2], result.p_adjusted[2]) == (0, 0, 1)
        seen |= set(excludes)
    assert seen == {True, False}


# -- unequal variances


def test_welch_agrees_with_scipy_under_bonferroni():
    rng = np.random.default_rng(4)
    values = rng.standard_normal((4, 5)) * np.array([1, 2, 5, 0.3])[:, None]
    ours = st.compare_welch(st.two_way(values), 1)
    for i in (0, 2, 3):
        theirs = stats.ttest_ind(values[i], values[1], equal_var=False)
        interval = theirs.confidence_interval(1 - 0.05 / 3)
        assert ours.p_adjusted[i] == pytest.approx(min(1, 3 * theirs.pvalue))
        assert ours.differences[i] - ours.half_widths[i] == pytest.approx(interval.low)
        assert ours.differences[i] + ours.half_widths[i] == pytest.approx(interval.high)
    assert ours.critical is None and ours.df is None


@pytest.mark.parametrize("alpha", F_MAX_3)
def test_chance_of_a_variance_ratio_matches_hartleys_table(alpha):
    for k, point in enumerate(F_MAX_3[alpha], start=2):
        sd = np.ones(k)
        sd[0] = math.sqrt(point)
        ratio, chance = st.variance_ratio(st.two_way(sd[:, None] * np.array([-1.0, 1.0, -1.0, 1.0])))
        assert ratio == pytest.approx(point) and chance == pytest.approx(alpha, rel=0.15)


def test_a_ratio_over_ten_is_common_by_chance_and_is_not_called_unequal():
    rng = np.random.default_rng(5)
    ratios, chances = zip(*(st.variance_ratio(st.two_way(rng.standard_normal((6, 4)))) for _ in range(500)))
    assert 0.40 < np.mean(np.array(ratios) > 10) < 0.56
    assert np.mean(np.array(chances) < 0.01) < 0.03


# -- Tukey


def test_tukey_group_agrees_with_scipy_and_statsmodels_without_block():
    from statsmodels.stats.multicomp import pairwise_tukeyhsd

    rng = np.random.default_rng(6)
    sizes = set()
    for _ in range(6):
        values = rng.standard_normal((5, 6)) + 1.2 * np.arange(5)[:, None] * rng.uniform(0, 1)
        best = int(values.mean(axis=1).argmin())
        p = stats.tukey_hsd(*values).pvalue[best]
        ours = st.tukey_group(layout(values, blocked=False), range(5), pooled=True)
        assert set(ours) == {i for i in range(5) if i == best or p[i] > 0.05}
        frame = pairwise_tukeyhsd(values.ravel(), np.repeat(np.arange(5), 6)).summary_frame()
        pairs = frame[frame["reject"]][["group_t", "group_c"]].to_numpy()
        rejected = {int(i) for pair in pairs if best in pair for i in pair if i != best}
        assert set(ours) == set(range(5)) - rejected
        assert ours == sorted(ours, key=lambda i: values[i].mean())
        sizes.add(len(ours))
    assert len(sizes) > 2


def test_tukey_group_with_own_variances_is_no_narrower_than_games_and_howell_in_scipy():
    if "equal_var" not in inspect.signature(stats.tukey_hsd).parameters:
        pytest.skip("this scipy has no Games-Howell")
    rng = np.random.default_rng(7)
    equal = 0
    for _ in range(12):
        values = rng.standard_normal((4, 6)) * np.array([[1], [1], [4], [0.3]])
        values += np.arange(4)[:, None] * rng.uniform(0, 2)
        best = int(values.mean(axis=1).argmin())
        p = stats.tukey_hsd(*values, equal_var=False).pvalue[best]
        theirs = {i for i in range(4) if i == best or p[i] > 0.05}
        ours = set(st.tukey_group(st.two_way(values), range(4), pooled=False))
        assert theirs <= ours
        equal += theirs == ours
    assert equal >= 9


def test_tukey_group_is_among_the_rows_asked_for():
    values = [[0.0, 0.1, 0.2], [5.0, 5.2, 5.1], [5.0, 5.3, 5.2], [9.0, 9.2, 9.1]]
    assert st.tukey_group(st.two_way(values), [3, 2, 1], pooled=True) == [1, 2]


# -- what the study could have seen


@pytest.mark.parametrize("arms, seeds", [(2, 4), (3, 2), (6, 4), (6, 10)])
def test_detectable_difference_is_found_with_eighty_percent_power(arms, seeds):
    df = (arms - 1) * (seeds - 1)
    c = st.dunnett_critical(arms - 1, df)
    shift = st.detectable(arms, arms - 1, seeds) * math.sqrt(seeds / 2)
    assert stats.nct.sf(c, df, shift) + stats.nct.cdf(-c, df, shift) == pytest.approx(0.8, abs=1e-4)


def test_detectable_difference_of_two_arms_is_that_of_the_paired_t_test():
    from statsmodels.stats.power import TTestPower

    paired = TTestPower().solve_power(nobs=6, alpha=0.05, power=0.8)  # in sd of the differences
    assert st.detectable(2, 1, 6) == pytest.approx(paired * math.sqrt(2), rel=1e-4)


@pytest.mark.parametrize("arms, seeds", [(6, 4), (3, 2), (4, 16)])
def test_seeds_to_halve_is_the_fewest_that_do(arms, seeds):
    enough = st.seeds_to_halve(arms, arms - 1, seeds)
    goal = st.detectable(arms, arms - 1, seeds) / 2
    assert st.detectable(arms, arms - 1, enough) <= goal < st.detectable(arms, arms - 1, enough - 1)
