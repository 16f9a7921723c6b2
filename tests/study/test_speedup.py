"""Effective speed-up against sums done by hand, and its interval by simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from paribus.study.verdicts.speedup import (
    PowerLaw,
    Ratio,
    effective_speedup,
    fit_power_law,
    speedup_on_curve,
    throughput_ratio,
)

# Half the tokens cost 0.2; the arm is 0.1 better: half a halving, so sqrt(2) of the compute.
BASE = np.array([3.0, 3.1, 2.9, 3.0])
HANDICAP = BASE + 0.2 + np.array([0.01, -0.01, 0.01, -0.01])
ARM = BASE - 0.1 + np.array([0.01, 0.01, -0.01, -0.01])


def known(ratio: float) -> Ratio:
    return Ratio(value=ratio, low=ratio, high=ratio)


# -- throughputs


def test_throughputs_are_compared_by_medians_and_told_apart_by_the_whole_spread_of_trials():
    base, arm = np.array([100.0, 104, 90, 101, 99]), np.array([80.0, 60, 82, 85, 79])
    ratio = throughput_ratio(base, arm)
    assert ratio.value == 80 / 100
    welch = stats.ttest_ind(np.log(arm), np.log(base), equal_var=False).confidence_interval()
    margin = (welch.high - welch.low) / 2 * math.sqrt(5)  # of one trial and not of the mean of five
    assert (ratio.low, ratio.high) == pytest.approx((0.8 * math.exp(-margin), 0.8 * math.exp(margin)))


def test_trials_of_one_speed_leave_no_doubt_and_a_single_one_leaves_all():
    assert throughput_ratio([100.0, 100.0], [50.0, 50.0]) == known(0.5)
    assert throughput_ratio([100.0, 101.0], [50.0]) == Ratio(value=50 / 100.5, low=None, high=None)


@pytest.mark.parametrize("arm", [[], [1.0, 0.0], [1.0, -1.0], [1.0, math.nan], [1.0, math.inf], [[1.0]]])
def test_what_is_no_speed_is_refused(arm):
    with pytest.raises(ValueError, match="no ratio of throughputs"):
        throughput_ratio([1.0, 2.0], arm)


@pytest.mark.parametrize(("pace_lasts", "least"), [(0.1, 0.99), (3, 0.97), (12, 0.9), (100, 0.9)])
def test_a_machine_whose_pace_wanders_is_not_taken_for_a_difference(pace_lasts, least):
    """Twelve trials of one arm and then of another, equally fast, at a pace that is remembered for so many trials."""
    rng, keeps, held = np.random.default_rng(0), math.exp(-1 / pace_lasts), 0
    for _ in range(1000):
        pace = [rng.standard_normal()]
        for _ in range(23):
            pace.append(keeps * pace[-1] + math.sqrt(1 - keeps**2) * rng.standard_normal())
        speeds = np.exp(0.2 * np.array(pace) + 0.02 * rng.standard_normal(24))
        ratio = throughput_ratio(speeds[:12], speeds[12:])
        held += ratio.low <= 1 <= ratio.high
    assert held / 1000 >= least - 0.02


# -- from the handicap


@pytest.mark.parametrize(("loss_ends", "speed_ends"), [(1.0, 1.3), (1.2, 1.0), (1.2, 1.3)])
def test_doubts_of_loss_and_of_speed_add_up_as_squares_of_logarithms(loss_ends, speed_ends):
    scatter = 0.0 if loss_ends == 1.0 else 0.01
    arm = BASE - 0.1 + scatter * np.array([1, 1, -1, -1])
    less = BASE + 0.2 + scatter * np.array([1, -1, 1, -1])
    alone = effective_speedup(BASE, less, arm, fraction=0.5)
    speed = Ratio(value=0.7, low=0.7 / speed_ends, high=0.7 * speed_ends)
    both = effective_speedup(BASE, less, arm, fraction=0.5, throughput=speed)
    for end, of_alone, of_speed in (("low", alone.low, speed.low), ("high", alone.high, speed.high)):
        away = math.hypot(math.log(of_alone / alone.value), math.log(of_speed / 0.7))
        assert abs(math.log(getattr(both, end) / both.value)) == pytest.approx(away)


def test_a_speed_of_unknown_error_leaves_the_speedup_without_ends():
    result = effective_speedup(
        BASE, HANDICAP, ARM, fraction=0.5, throughput=Ratio(value=0.5, low=None, high=None)
    )
    assert result.value == pytest.approx(0.5 * math.sqrt(2)) and result.low is result.high is None


def test_loss_factor_is_the_compute_that_the_baseline_would_need():
    result = effective_speedup(BASE, HANDICAP, ARM, fraction=0.5)
    assert result.value == result.loss_factor == pytest.approx(math.sqrt(2))
    assert result.low < result.value < result.high and result.extrapolated


def test_speedup_multiplies_what_the_loss_says_by_the_ratio_of_throughputs():
    plain, slower = (
        effective_speedup(BASE, HANDICAP, ARM, fraction=0.5, throughput=known(r)) for r in (1.0, 0.6)
    )
    assert slower.loss_factor == plain.loss_factor and slower.throughput.value == 0.6
    for end in ("value", "low", "high"):
        assert getattr(slower, end) == pytest.approx(0.6 * getattr(plain, end))


def test_the_handicap_itself_needs_the_fraction_of_the_compute_exactly():
    result = effective_speedup(BASE, HANDICAP, HANDICAP, fraction=0.75)
    assert (result.value, result.low, result.high) == pytest.approx((0.75, 0.75, 0.75))
    assert not result.extrapolated


def test_the_baseline_itself_is_neither_faster_nor_slower():
    result = effective_speedup(BASE, HANDICAP, BASE, fraction=0.75)
    assert (result.value, result.low, result.high) == pytest.approx((1, 1, 1)) and not result.extrapolated


def test_interval_holds_the_factors_that_a_paired_t_test_does_not_reject():
    rng = np.random.default_rng(0)
    base, less, arm = 0.02 * rng.standard_normal((3, 6)) + np.array([[3.0], [3.2], [2.95]])
    result = effective_speedup(base, less, arm, fraction=0.5)

    def p(factor):
        theta = math.log(factor) / math.log(2)
        return stats.ttest_1samp((base - arm) - theta * (less - base), 0.0).pvalue

    assert p(result.low) == pytest.approx(0.05, abs=1e-6) and p(result.high) == pytest.approx(0.05, abs=1e-6)
    assert p(result.value) == pytest.approx(1.0)


def test_a_level_narrows_or_widens_the_interval():
    usual, strict = (effective_speedup(BASE, HANDICAP, ARM, fraction=0.5, level=x) for x in (0.95, 0.99))
    assert strict.low < usual.low < usual.high < strict.high


def test_a_slope_that_may_be_zero_gives_an_interval_without_ends():
    noisy = BASE + np.array([0.9, -0.5, 0.3, 0.1])
    result = effective_speedup(BASE, noisy, ARM, fraction=0.5)
    assert result.value is not None and (result.low, result.high) == (None, None)


def test_a_handicap_that_was_no_worse_says_nothing():
    result = effective_speedup(BASE, BASE - 0.1, ARM, fraction=0.5)
    assert (result.value, result.loss_factor, result.low, result.high) == (None, None, None, None)


def test_a_factor_past_all_meaning_is_not_printed():
    result = effective_speedup(BASE, BASE + 1e-3, BASE - 1.0, fraction=0.5)
    assert result.value is None and result.extrapolated


def test_one_seed_has_no_interval():
    result = effective_speedup(BASE[:1], HANDICAP[:1], ARM[:1], fraction=0.5)
    assert result.value is not None and (result.low, result.high) == (None, None)


@pytest.mark.parametrize(
    "fraction, arm", [(0.0, ARM), (1.0, ARM), (1.5, ARM), (0.5, ARM[:3]), (0.5, ARM[:, None])]
)
def test_impossible_requests_are_refused(fraction, arm):
    with pytest.raises(ValueError, match="no speed-up"):
        effective_speedup(BASE, HANDICAP, arm, fraction=fraction)


@pytest.mark.parametrize("sd", [0.02, 0.05])
def test_interval_covers_in_ninety_five_percent(sd):
    rng, studies = np.random.default_rng(1), 2000
    truth, held = math.exp(0.05 / 0.134 * math.log(4 / 3)), 0
    for _ in range(studies):
        base, less, arm = sd * rng.standard_normal((3, 4)) + np.array([[0.0], [0.134], [-0.05]])
        result = effective_speedup(base, less, arm, fraction=0.75)
        held += result.low is None or result.low <= truth <= (result.high or math.inf)
    assert held / studies == pytest.approx(0.95, abs=2.6 * math.sqrt(0.05 * 0.95 / studies))


# -- on a fitted curve


@pytest.mark.parametrize("law", [(1.7, 3.0, 0.34), (0.0, 3.0, 0.1), (2.0, 0.5, 1.5)])
@pytest.mark.parametrize("points", [[1, 2, 4], [1, 3, 10, 40, 160]])
def test_fit_recovers_the_curve_that_made_the_points(law, points):
    truth = PowerLaw(floor=law[0], scale=law[1], exponent=law[2])
    compute = 1e15 * np.array(points, float)
    scaled = PowerLaw(floor=law[0], scale=law[1] * 1e15 ** law[2], exponent=law[2])
    fitted = fit_power_law(compute, truth.loss(points))
    assert fitted.exponent == pytest.approx(scaled.exponent, rel=1e-4)
    assert fitted.loss(compute * 3) == pytest.approx(scaled.loss(compute * 3), rel=1e-6)
    assert fitted.compute(float(scaled.loss(2.5e15))) == pytest.approx(2.5e15, rel=1e-5)


def test_fit_is_the_least_squares_one():
    from scipy.optimize import curve_fit

    compute, losses = np.array([1.0, 2, 4, 8, 16]), np.array([4.7, 4.12, 3.59, 3.27, 2.97])
    theirs, _ = curve_fit(lambda c, e, a, alpha: e + a * c**-alpha, compute, losses, p0=(1.5, 3, 0.3))
    ours = fit_power_law(compute, losses)
    assert (ours.floor, ours.scale, ours.exponent) == pytest.approx(tuple(theirs), rel=1e-3)


def test_no_compute_reaches_the_floor_and_a_rising_loss_has_no_curve():
    law = PowerLaw(floor=2.0, scale=1.0, exponent=0.3)
    assert law.compute(2.0) is None and law.compute(1.0) is None and law.compute(3.0) == pytest.approx(1.0)
    rising = fit_power_law([1, 2, 4], [1.0, 2.0, 3.0])
    assert rising.scale == 0 and rising.compute(2.5) is None


def test_a_curve_straighter_than_any_power_law_keeps_a_floor_that_a_loss_can_have():
    compute = np.array([1.0, 3, 10, 40])
    fitted = fit_power_law(compute, 3 - 0.2 * np.log(compute))
    assert fitted.floor == 0 and fitted.loss(1e30) > 0
    assert fitted.loss(compute) == pytest.approx(3 - 0.2 * np.log(compute), abs=0.02)


@pytest.mark.parametrize("compute", [[1, 2], [1, 2, 2], [0, 1, 2], [1, 2, np.nan]])
def test_fewer_than_three_points_make_no_curve(compute):
    with pytest.raises(ValueError, match="three or more"):
        fit_power_law(compute, [3.0, 2.0, 1.5][: len(compute)])


def ladder(rng, *, seeds=4, sd=0.01, factor=1.5):
    """Losses [3, seeds] on L = 2 + C^-0.3 at C = 1, 2, 4, and of an arm worth `factor` the compute at 4."""
    block, compute = 0.02 * rng.standard_normal(seeds), np.array([1.0, 2, 4])
    table = (2 + compute**-0.3)[:, None] + block + sd * rng.standard_normal((3, seeds))
    return compute, table, 2 + (4 * factor) ** -0.3 + block + sd * rng.standard_normal(seeds)


def test_speedup_on_a_curve_is_the_compute_of_the_arms_loss_on_it():
    compute, table, arm = ladder(np.random.default_rng(0), sd=0.0)
    result = speedup_on_curve(compute, table - table.mean(axis=0), arm, at=4.0)
    assert result.value is not None
    exact = speedup_on_curve(compute, (2 + compute**-0.3)[:, None], [2 + 6.0**-0.3], at=4.0)
    assert exact.value == pytest.approx(1.5, rel=1e-5) and exact.extrapolated
    assert (exact.low, exact.high) == (None, None)
    inside = speedup_on_curve(compute, (2 + compute**-0.3)[:, None], [2 + 3.0**-0.3], at=4.0)
    assert inside.value == pytest.approx(0.75, rel=1e-5) and not inside.extrapolated


def test_an_arm_of_equal_loss_gets_one_however_badly_the_curve_fits():
    table = np.array([[5.0, 5.1], [4.0, 3.9], [3.9, 4.1], [3.2, 3.1]])
    result = speedup_on_curve([1, 2, 4, 8], table, table[2], at=4)
    assert (result.loss_factor, result.value) == pytest.approx((1.0, 1.0))
    assert (result.low, result.high) == pytest.approx((1.0, 1.0))


def test_an_arm_below_the_floor_has_no_factor():
    compute, table, _ = ladder(np.random.default_rng(1))
    result = speedup_on_curve(compute, table, np.full(4, 0.5), at=4.0)
    assert (result.value, result.low, result.high) == (None, None, None) and result.extrapolated


def test_the_curve_is_asked_only_where_the_baseline_ran():
    compute, table, arm = ladder(np.random.default_rng(1))
    with pytest.raises(ValueError, match="no losses at 3"):
        speedup_on_curve(compute, table, arm, at=3.0)
    with pytest.raises(ValueError, match="do not fit"):
        speedup_on_curve(compute, table, arm[:3], at=4.0)


@pytest.mark.slow
@pytest.mark.parametrize("seeds, published", [(4, 0.95), (8, 0.94)])
def test_jackknife_interval_on_a_curve_covers_as_published(seeds, published):
    rng, held = np.random.default_rng(2), 0
    for _ in range(300):
        compute, table, arm = ladder(rng, seeds=seeds)
        result = speedup_on_curve(compute, table, arm, at=4.0)
        held += result.low is None or result.low <= 1.5 <= result.high
    assert held / 300 == pytest.approx(published, abs=0.04)
