"""Dunnett's distribution against published tables, scipy and statsmodels."""

import math

import numpy as np
import pytest
from scipy import stats

from paribus.study.verdicts import dunnett

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


# -- critical values and p


@pytest.mark.parametrize("level, table", [(0.95, DUNNETT_95), (0.99, DUNNETT_99)])
def test_dunnett_critical_values_are_the_published_ones(level, table):
    for df, row in table.items():
        ours = [dunnett.dunnett_critical(m, df, level) for m in range(1, 10)]
        assert ours == pytest.approx(row, abs=0.0051), df


@pytest.mark.parametrize("df", [1, 2, 3, 9, 15, 100])
def test_dunnett_with_one_comparison_is_student(df):
    assert dunnett.dunnett_critical(1, df) == pytest.approx(stats.t.ppf(0.975, df), abs=1e-7)
    t = np.array([0.0, 0.5, 3.0, 12.0])
    assert dunnett.dunnett_p(t, 1, df) == pytest.approx(2 * stats.t.sf(t, df), rel=1e-6)


@pytest.mark.parametrize("m, df", [(2, 2), (3, 5), (5, 15), (8, 40)])
def test_dunnett_agrees_with_scipy_multivariate_t(m, df):
    shape = np.full((m, m), 0.5) + np.eye(m) / 2
    joint = stats.multivariate_t(shape=shape, df=df, seed=0)
    c = np.full(m, dunnett.dunnett_critical(m, df))
    assert joint.cdf(c, lower_limit=-c, maxpts=200_000) == pytest.approx(0.95, abs=1e-4)


def test_dunnett_agrees_with_scipy_multivariate_normal_at_infinite_df():
    c = np.full(4, dunnett.dunnett_critical(4, math.inf))
    joint = stats.multivariate_normal(cov=np.full((4, 4), 0.5) + np.eye(4) / 2, abseps=1e-6)
    assert joint.cdf(c, lower_limit=-c) == pytest.approx(0.95, abs=2e-5)


def test_dunnett_p_is_the_inverse_of_the_critical_value_and_stays_precise_far_out():
    assert dunnett.dunnett_p(-dunnett.dunnett_critical(5, 15), 5, 15) == pytest.approx(0.05, abs=1e-9)
    far = dunnett.dunnett_p(30.0, 5, 15)  # nearly Bonferroni
    assert far == pytest.approx(10 * stats.t.sf(30.0, 15), rel=0.05)


@pytest.mark.parametrize("m, df, level", [(0, 5, 0.95), (2, 0, 0.95), (2, 5, 1.0), (2, math.nan, 0.95)])
def test_dunnett_refuses_impossible_requests(m, df, level):
    with pytest.raises(ValueError, match="no Dunnett value"):
        dunnett.dunnett_critical(m, df, level)


# -- what the study could have seen


@pytest.mark.parametrize("arms, seeds", [(2, 4), (3, 2), (6, 4), (6, 10)])
def test_detectable_difference_is_found_with_eighty_percent_power(arms, seeds):
    df = (arms - 1) * (seeds - 1)
    c = dunnett.dunnett_critical(arms - 1, df)
    shift = dunnett.detectable(arms, arms - 1, seeds) * math.sqrt(seeds / 2)
    assert stats.nct.sf(c, df, shift) + stats.nct.cdf(-c, df, shift) == pytest.approx(0.8, abs=1e-4)


def test_detectable_difference_of_two_arms_is_that_of_the_paired_t_test():
    from statsmodels.stats.power import TTestPower

    paired = TTestPower().solve_power(nobs=6, alpha=0.05, power=0.8)  # in sd of the differences
    assert dunnett.detectable(2, 1, 6) == pytest.approx(paired * math.sqrt(2), rel=1e-4)


@pytest.mark.parametrize("arms, seeds", [(6, 4), (3, 2), (4, 16)])
def test_seeds_to_halve_is_the_fewest_that_do(arms, seeds):
    enough = dunnett.seeds_to_halve(arms, arms - 1, seeds)
    goal = dunnett.detectable(arms, arms - 1, seeds) / 2
    assert dunnett.detectable(arms, arms - 1, enough) <= goal < dunnett.detectable(arms, arms - 1, enough - 1)


def test_a_stricter_level_asks_for_more_at_every_step():
    levels = (0.90, 0.95, 0.97, 0.985, 0.995)
    for quantity in (
        [dunnett.dunnett_critical(5, 15, level) for level in levels],
        [dunnett.detectable(6, 5, 4, level) for level in levels],
        [dunnett.seeds_to_detect(1.0, 6, level=level) for level in levels],
    ):
        assert quantity == sorted(quantity) and len(set(quantity)) == 5


def test_detectable_difference_follows_the_level():
    df, level = 15, 0.97
    c, shift = dunnett.dunnett_critical(5, df, level), dunnett.detectable(6, 5, 4, level) * math.sqrt(4 / 2)
    assert stats.nct.sf(c, df, shift) + stats.nct.cdf(-c, df, shift) == pytest.approx(0.8, abs=1e-4)


@pytest.mark.parametrize("difference", [4.0, 1.0, 0.3])
def test_seeds_to_detect_is_the_fewest_that_do(difference):
    seeds = dunnett.seeds_to_detect(difference, 6)
    assert dunnett.detectable(6, 5, seeds) <= difference
    assert seeds == 2 or dunnett.detectable(6, 5, seeds - 1) > difference


def test_a_difference_that_a_thousand_seeds_do_not_find_is_not_promised():
    smallest = dunnett.detectable(6, 5, dunnett.MAX_SEEDS)
    assert dunnett.seeds_to_detect(smallest * 1.0001, 6) == dunnett.MAX_SEEDS
    assert dunnett.seeds_to_detect(smallest * 0.9999, 6) is None
    assert dunnett.seeds_to_detect(0.0, 6) is None
