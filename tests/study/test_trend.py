"""The trend of a difference over sizes against statsmodels, sums done by hand, and simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from paribus.study.verdicts.trend import trend


def test_two_sizes_give_their_line_and_the_interval_of_their_errors():
    # From 0.10 to 0.06 over two doublings: -0.02 each; its error is sqrt(0.01^2 + 0.02^2) / 2 = 0.0111803.
    result = trend([1e6, 4e6], [0.10, 0.06], [0.01, 0.02])
    assert (result.slope, result.sizes, result.between_sd) == (pytest.approx(-0.02), 2, 0)
    assert (result.low, result.high) == pytest.approx((-0.02 - 0.0219131, -0.02 + 0.0219131), abs=1e-6)
    assert result.p == pytest.approx(0.0736383, abs=1e-6)


@pytest.mark.parametrize("sizes", [3, 5])
def test_small_residuals_give_the_weighted_line_of_statsmodels(sizes):
    import statsmodels.api as sm

    rng = np.random.default_rng(0)
    params, errors = 1e6 * 2.0 ** np.arange(sizes), rng.uniform(0.01, 0.03, sizes)
    y = 0.1 - 0.02 * np.arange(sizes) + 0.3 * errors * rng.standard_normal(sizes)
    fit = sm.WLS(y, sm.add_constant(np.log2(params)), weights=errors**-2.0).fit(
        cov_type="fixed scale", use_t=False
    )
    result = trend(params, y, errors)
    assert result.between_sd == 0 and result.slope == pytest.approx(fit.params[1])
    assert (result.low, result.high) == pytest.approx(tuple(fit.conf_int()[1]), rel=1e-6)
    assert result.p == pytest.approx(fit.pvalues[1])


def test_residuals_beyond_the_errors_widen_the_interval_and_are_measured():
    # Three equal steps, errors 0.01: residuals of the line are (1, -2, 1) / 60, Q = 6 / 3600 / (1e-4 + tau^2) = 1.
    params, y = [1e6, 2e6, 4e6], [0.1, 0.05, 0.1]
    result = trend(params, y, [0.01] * 3)
    assert result.between_sd == pytest.approx(math.sqrt(6 / 3600 - 1e-4))
    # Student's with one degree of freedom: 12.7062 sqrt((6 / 3600) / 2).
    assert result.slope == pytest.approx(0) and result.high == pytest.approx(12.7062047 * math.sqrt(6 / 7200))
    assert result.p == pytest.approx(1.0)
    assert trend(params, y, [0.1] * 3).between_sd == 0


def test_a_precise_size_outweighs_a_vague_one():
    near, vague = trend([1, 2, 4], [0, 1, 0], [1, 1, 100]), trend([1, 2, 4], [0, 1, 0], [1, 1, 1])
    assert near.slope > 0.9 and vague.slope == pytest.approx(0)


def test_slope_is_per_doubling_and_unit_and_order_of_sizes_do_not_matter():
    y, errors = np.array([0.1, 0.07, 0.05]), np.array([0.01, 0.02, 0.01])
    first, other = trend([1, 2, 4], y, errors), trend([4e6, 1e6, 2e6], y[[2, 0, 1]], errors[[2, 0, 1]])
    assert (first.slope, first.low, first.p) == pytest.approx((other.slope, other.low, other.p))
    quarter = trend([1, 4, 16], y, errors)
    assert quarter.slope == pytest.approx(first.slope / 2)


def test_one_size_has_no_trend():
    assert trend([1e6], [0.1], [0.01]) is None
    assert trend([1e6, 1e6], [0.1, 0.2], [0.01, 0.01]) is None
    assert trend([], [], []) is None


@pytest.mark.parametrize(
    "params, y, errors",
    [
        ([1, 2], [0.1], [0.1, 0.1]),
        ([1, 2], [0.1, 0.2], [0.1, 0.0]),
        ([0, 2], [0.1, 0.2], [0.1, 0.1]),
        ([1, 2], [0.1, np.nan], [0.1, 0.1]),
        ([1, 2], [0.1, 0.2], [np.inf, 0.1]),
    ],
)
def test_numbers_that_make_no_trend_are_refused(params, y, errors):
    with pytest.raises(ValueError, match="a trend needs"):
        trend(params, y, errors)


@pytest.mark.parametrize("sizes, published", [(2, 0.95), (3, 0.965), (4, 0.97)])
def test_coverage_where_the_errors_say_it_all_is_the_published_one(sizes, published):
    assert coverage(2000, sizes, 0.0) == pytest.approx(published, abs=0.015)


@pytest.mark.slow
@pytest.mark.parametrize("sizes, between, published", [(3, 0.02, 0.87), (3, 0.05, 0.88), (4, 0.02, 0.92)])
def test_coverage_where_sizes_vary_is_the_published_one(sizes, between, published):
    assert coverage(4000, sizes, between) == pytest.approx(published, abs=0.02)


def coverage(studies, sizes, between):
    """Errors between 0.005 and 0.02, and sizes that vary by `between` beyond them; true slope -0.01."""
    rng, held = np.random.default_rng(0), 0
    for _ in range(studies):
        errors = rng.uniform(0.005, 0.02, sizes)
        y = -0.01 * np.arange(sizes) + np.sqrt(errors**2 + between**2) * rng.standard_normal(sizes)
        result = trend(2.0 ** np.arange(sizes), y, errors)
        held += result.low <= -0.01 <= result.high
    return held / studies


@pytest.mark.parametrize("sizes", [2, 3])
def test_errors_that_were_estimated_widen_the_interval(sizes):
    rng, held = np.random.default_rng(1), {None: 0, 3: 0}
    for _ in range(2000):
        errors = rng.uniform(0.005, 0.02, sizes)
        y = -0.01 * np.arange(sizes) + errors * rng.standard_normal(sizes)
        estimated = errors * np.sqrt(rng.chisquare(3, sizes) / 3)
        for df in held:
            result = trend(2.0 ** np.arange(sizes), y, estimated, None if df is None else [df] * sizes)
            held[df] += result.low <= -0.01 <= result.high
    assert held[3] / 2000 > 0.94 > held[None] / 2000


def test_the_degrees_of_freedom_are_those_of_welch_for_two_sizes():
    ours = trend([1, 2], [0.1, 0.3], [0.02, 0.05], [3, 9])
    df = (0.02**2 + 0.05**2) ** 2 / (0.02**4 / 3 + 0.05**4 / 9)
    half = stats.t.ppf(0.975, df) * math.hypot(0.02, 0.05)
    assert (ours.low, ours.high) == pytest.approx((0.2 - half, 0.2 + half))
