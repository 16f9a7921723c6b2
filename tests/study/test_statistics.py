"""The comparison of arms against outside sources: published tables, scipy, statsmodels, and sums done by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from paribus.study.verdicts import statistics as st


def layout(values, *, blocked=True):
    """The two-way layout, or the same arms without a block (as scipy's own tests assume)."""
    two_way = st.two_way(values)
    if blocked:
        return two_way
    k, n = np.shape(values)
    return st.TwoWay(
        means=two_way.means,
        residual_squares=two_way.residual_squares,
        residual_variance=float(np.var(values, axis=1, ddof=1).mean()),
        df=k * (n - 1),
        pairing_ratio=1.0,
        seeds=n,
    )


# -- two-way layout


def test_two_way_of_a_worked_example():
    # Means 2 and 4, seed means 2, 3, 4, grand mean 3; residuals +-(1, 0, -1) / 2 twice over, so their
    # sum of squares is 1 on 2 degrees of freedom; within arms the variances are 0.25 and 2.25.
    fit = st.two_way([[1.5, 2.0, 2.5], [2.5, 4.0, 5.5]])
    assert fit.means == pytest.approx([2, 4])
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


# -- intervals


def test_dunnett_comparisons_agree_with_scipy_on_a_layout_without_block():
    rng = np.random.default_rng(2)
    values = rng.standard_normal((5, 6)) + np.array([0, 0.3, 1, 1.5, 2.5])[:, None]
    ours = st.compare_pooled(layout(values, blocked=False), 0)
    theirs = stats.dunnett(*values[1:], control=values[0], rng=np.random.default_rng(0))
    assert ours.p_adjusted[1:] == pytest.approx(theirs.pvalue, abs=1e-3)
    interval = theirs.confidence_interval()
    assert ours.differences[1:] - ours.half_widths[1:] == pytest.approx(interval.low, abs=5e-3)
    assert ours.differences[1:] + ours.half_widths[1:] == pytest.approx(interval.high, abs=5e-3)


def pooled(values, baseline, **options):
    return st.compare_pooled(st.two_way(values), baseline, **options)


def apart(values, baseline, **options):
    return st.compare_apart(values, baseline, (3,), **options)


@pytest.mark.parametrize("compare", [pooled, st.compare_paired, apart])
def test_interval_excludes_zero_exactly_when_adjusted_p_is_below_five_percent(compare):
    rng = np.random.default_rng(3)
    seen = set()
    for _ in range(100):
        result = compare(rng.standard_normal((5, 4)) + rng.uniform(0, 4, (5, 1)), 2)
        excludes = np.abs(result.differences) > result.half_widths
        assert (excludes == (result.p_adjusted < 0.05)).all() and not excludes[2]
        assert (result.differences[2], result.half_widths[2], result.p_adjusted[2]) == (0, 0, 1)
        seen |= set(excludes)
    assert seen == {True, False}


@pytest.mark.parametrize("compare", [pooled, st.compare_paired, apart])
def test_level_moves_the_interval_and_not_the_adjusted_p(compare):
    values = np.random.default_rng(8).standard_normal((4, 5))
    usual, strict = compare(values, 0), compare(values, 0, level=0.995)
    assert (strict.half_widths[1:] > usual.half_widths[1:]).all()
    assert (strict.p_adjusted == usual.p_adjusted).all()
    for result, level in ((usual, 0.95), (strict, 0.995)):
        wider = compare(values, 0, level=2 * level - 1)
        assert result.equivalence_widths == pytest.approx(wider.half_widths)


# -- unequal variances


def by_regression(values, baseline, apart, *, level=0.95):
    """Interval of each difference from one arm's mean by the sums written out, arm by arm and seed by seed."""
    k, n = values.shape
    others = [i for i in range(k) if i != apart]
    mean = sum(values[i] for i in others) / (k - 1)
    own = stats.tvar(values[apart] - mean)
    squares = sum(
        (values[i, s] - mean[s] - values[i].mean() + mean.mean()) ** 2 for i in others for s in range(n)
    )
    df = (k - 2) * (n - 1)
    shared = squares / df
    for i in range(k):
        if i == baseline:
            continue
        a, b = (own, shared * (k - 2) / (k - 1)) if apart in (i, baseline) else (0.0, 2 * shared)
        freedom = (a + b) ** 2 / (a**2 / (n - 1) + b**2 / df)
        half = stats.t.ppf(1 - (1 - level) / (2 * (k - 1)), freedom) * math.sqrt((a + b) / n)
        yield i, values[i].mean() - values[baseline].mean(), half


@pytest.mark.parametrize("apart", [0, 1, 3])
@pytest.mark.parametrize("level", [0.95, 0.985])
def test_an_arm_apart_has_its_own_variance_and_the_others_theirs(apart, level):
    rng = np.random.default_rng(4)
    values = rng.standard_normal((4, 5)) + 10 * rng.standard_normal(5)
    values[apart] *= 4
    ours = st.compare_apart(values, 1, (apart,), level=level)
    for i, difference, half in by_regression(values, 1, apart, level=level):
        assert ours.differences[i] == pytest.approx(difference)
        assert ours.half_widths[i] == pytest.approx(half)
        assert (ours.p_adjusted[i] < 1 - level) == (abs(difference) > half)
    assert (ours.half_widths[1], ours.p_adjusted[1], ours.critical, ours.df) == (0, 1, None, None)
    same = st.compare_apart(values + 10 * rng.standard_normal(5), 1, (apart,), level=level)
    assert np.allclose(same.half_widths, ours.half_widths)  # what a seed does to all falls out


@pytest.mark.parametrize(("apart", "baseline"), [((2,), 0), ((2,), 2), ((1, 2), 0), ((1, 2), 1)])
def test_arms_apart_cover_their_truth_as_often_as_promised(apart, baseline):
    rng = np.random.default_rng(14)
    sd = np.array([[5.0 if row in apart else 1.0] for row in range(5)])
    noise = sd * rng.standard_normal((4000, 5, 4)) + 3 * rng.standard_normal((4000, 1, 4))
    found = [st.compare_apart(values, baseline, apart) for values in noise]
    missed = np.array([np.abs(each.differences) > each.half_widths for each in found])
    # 1.25 % each, but for Satterthwaite's approximation.
    assert all(0.005 < each < 0.02 for each in np.delete(missed.mean(axis=0), baseline))
    assert 0.015 < missed.any(axis=1).mean() < 0.055


@pytest.mark.parametrize("arm", [0, 2])
def test_noise_of_an_arm_is_compared_with_what_the_others_leave(arm):
    values = np.random.default_rng(5).standard_normal((5, 4)) * np.array([3, 1, 2, 1, 1])[:, None]
    others = np.delete(values, arm, axis=0)
    ratio = stats.tvar(values[arm] - others.mean(axis=0)) / st.two_way(others).residual_variance
    assert st.noise_chances(st.two_way(values))[arm] == pytest.approx(stats.f.sf(4 / 5 * ratio, 3, 9))
    rest = [row for row in range(5) if row != arm]
    assert st.noise_ratio(values, arm, rest) == pytest.approx(ratio - 1 / 4)


def test_chance_of_noise_is_uniform_where_arms_are_alike_whatever_seeds_do():
    rng = np.random.default_rng(16)
    values = rng.standard_normal((3000, 6, 4)) + 10 * rng.standard_normal((3000, 1, 4))
    chances = np.array([st.noise_chances(st.two_way(each)) for each in values])
    assert stats.kstest(chances[:, 2], "uniform").pvalue > 0.01
    assert np.mean(6 * chances.min(axis=1) < 0.02) == pytest.approx(0.02, abs=0.008)


def test_a_noisy_arm_is_found_and_its_ratio_is_that_of_the_variances():
    rng = np.random.default_rng(7)
    sd = np.array([1.0, 1.0, 3.0, 1.0, 1.0, 1.0])[:, None]
    studies = [sd * rng.standard_normal((6, 40)) for _ in range(200)]
    ratios = [st.noise_ratio(values, 2, (0, 1, 3, 4, 5)) for values in studies]
    assert np.mean(ratios) == pytest.approx(9, rel=0.05)
    for chances in (st.noise_chances(st.two_way(values)) for values in studies):
        assert int(chances.argmin()) == 2 and chances[2] < 1e-6


def test_an_arm_that_alone_varies_is_noisy_beyond_all_chance():
    values = np.zeros((4, 4))
    values[1] = [1.0, -1.0, 2.0, 0.0]
    chances = st.noise_chances(st.two_way(values))
    assert chances[1] == 0.0 and (chances[[0, 2, 3]] > 0.5).all()
    assert st.noise_ratio(values, 1, (0, 2, 3)) == math.inf


# -- Tukey


def group(fit, rows, **options):
    """Tukey's group with the residual variance of all arms."""
    count = len(fit.means)
    errors = np.full(count, fit.standard_error), np.full(count, fit.df)
    return st.tukey_group(fit.means, rows, lambda reference: errors, **options)


def test_tukey_group_agrees_with_scipy_and_statsmodels_without_block():
    from statsmodels.stats.multicomp import pairwise_tukeyhsd

    rng = np.random.default_rng(6)
    sizes = set()
    for _ in range(6):
        values = rng.standard_normal((5, 6)) + 1.2 * np.arange(5)[:, None] * rng.uniform(0, 1)
        best = int(values.mean(axis=1).argmin())
        p = stats.tukey_hsd(*values).pvalue[best]
        ours = group(layout(values, blocked=False), range(5))
        assert set(ours) == {i for i in range(5) if i == best or p[i] > 0.05}
        frame = pairwise_tukeyhsd(values.ravel(), np.repeat(np.arange(5), 6)).summary_frame()
        pairs = frame[frame["reject"]][["group_t", "group_c"]].to_numpy()
        rejected = {int(i) for pair in pairs if best in pair for i in pair if i != best}
        assert set(ours) == set(range(5)) - rejected
        assert ours == sorted(ours, key=lambda i: values[i].mean())
        sizes.add(len(ours))
    assert len(sizes) > 2


def test_tukey_group_goes_by_the_errors_of_the_differences_from_the_best():
    means, rows = np.array([0.3, 0.0, 1.0, 5.0]), [0, 1, 2, 3]
    critical = [stats.studentized_range.ppf(0.95, 4, df) / math.sqrt(2) for df in (9, 3)]
    error = np.array([0.29 / critical[0], 0.0, 1.01 / critical[1], 4.99 / critical[1]])

    def errors(reference):
        assert reference == 1
        return error, np.array([9.0, 9.0, 3.9, 3.0])

    assert st.tukey_group(means, rows, errors) == [1, 2]


def test_a_stricter_level_lets_more_arms_into_the_group():
    values = np.array([[0.0, 0.1, 0.2, 0.1], [0.2, 0.4, 0.2, 0.3], [0.9, 1.2, 1.0, 1.1]])
    sizes = [len(group(st.two_way(values), range(3), level=level)) for level in (0.5, 0.999)]
    assert sizes[0] < sizes[1]


def test_tukey_group_is_among_the_rows_asked_for():
    values = [[0.0, 0.1, 0.2], [5.0, 5.2, 5.1], [5.0, 5.3, 5.2], [9.0, 9.2, 9.1]]
    assert group(st.two_way(values), [3, 2, 1]) == [1, 2]
