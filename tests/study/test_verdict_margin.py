"""What counts as the same, and how sure a verdict has to be."""

import numpy as np
import pytest

from paribus.study.verdicts.verdict import judge

from .losses import NOISE, VALLEY, study, verdict, words


def test_an_arm_whose_ninety_per_cent_interval_lies_inside_the_margin_is_the_same():
    result = verdict(study(), margin=0.05)
    assert words(result) == {"relu": "baseline", "gelu": "same", "swiglu": "better"}
    d = result.arms["gelu"].difference
    assert -0.05 < d.low90 < 0 < d.high90 < 0.05 and d.low < d.low90 and d.high90 < d.high
    assert result.arms["gelu"].reason is None and (result.margin, result.level) == (0.05, 0.95)


def test_a_margin_that_only_the_difference_itself_fits_in_tells_nothing():
    d = verdict(study()).arms["gelu"].difference
    edge = max(-d.low90, d.high90)
    assert abs(d.mean) < 0.999 * edge
    assert words(verdict(study(), margin=0.999 * edge))["gelu"] == "cannot tell"
    assert words(verdict(study(), margin=1.001 * edge))["gelu"] == "same"


def test_the_margin_needs_both_ends():
    for sign in (1, -1):
        losses = study(shift=(0, sign * 0.04, -0.2, 0, 0.3))
        assert words(verdict(losses, margin=0.045))["gelu"] != "same"


def test_what_the_user_calls_the_same_is_said_to_differ_where_it_does():
    result = verdict(study(), margin=0.5)
    arm = result.arms["swiglu"]
    assert arm.verdict == "same" and arm.difference.high < 0
    assert arm.reason == "it differs, but by less than the margin of 0.5"
    assert result.arms["gelu"].reason is None


def test_same_without_a_margin_is_never_said():
    assert "same" not in words(verdict(study())).values()


def test_an_obstacle_is_no_sameness():
    losses = study()
    losses["gelu"] = losses["gelu"][[1, 0, 2]]
    arm = verdict(losses, margin=5.0).arms["gelu"]
    assert arm.verdict == "cannot tell" and "must grow" in arm.reason
    assert words(verdict(study(3), margin=5.0))["gelu"] == "cannot tell"


def test_margin_leaves_controls_and_the_baseline_alone():
    result = verdict(study(), margin=1.0)
    assert words(result)["relu"] == "baseline"
    assert {name: c.ok for name, c in result.controls.items()} == {"placebo": True, "handicap": True}


def test_margin_works_with_unequal_variances_too():
    losses = study()
    losses["gelu"] = 2.9 + VALLEY + 100 * NOISE[1]
    result = verdict(losses, margin=0.25)
    assert result.method == "welch"
    assert words(result) == {"relu": "baseline", "gelu": "cannot tell", "swiglu": "same"}


def test_two_one_sided_tests_of_two_arms_are_the_paired_t_interval():
    # Differences 1 2 0 1: mean 1, standard error sqrt(2/3) / 2 = 0.408248; t of 90 % on 3 df is 2.353363.
    inf = [np.inf] * 4
    tables = {"a": [inf, [1, 2, 3, 4], inf], "b": [inf, [2, 4, 3, 5], inf]}
    d = judge(tables, rates=[1, 2, 4], baseline="a").arms["b"].difference
    assert (d.low90, d.high90) == pytest.approx((1 - 0.960757, 1 + 0.960757), abs=1e-6)
    assert d.standard_error == pytest.approx(0.408248, abs=1e-6)


def test_a_higher_level_widens_all_intervals_and_what_can_be_detected():
    usual, strict = verdict(study()), verdict(study(), level=0.995)
    for name in ("gelu", "swiglu"):
        a, b = usual.arms[name].difference, strict.arms[name].difference
        assert b.low < a.low < a.low90 and a.high90 < a.high < b.high and b.low90 < a.low90
        assert (a.mean, a.p_adjusted) == (b.mean, b.p_adjusted)
    assert strict.level == 0.995 and strict.critical > usual.critical
    assert strict.smallest_detectable_difference > usual.smallest_detectable_difference


def test_a_verdict_of_ninety_five_per_cent_may_not_be_one_of_ninety_nine_and_a_half():
    d = verdict(study()).arms["swiglu"].difference
    clear_at_95 = verdict(study(shift=(0, 0, -1.1 * (d.high - d.mean), 0, 0.3)))
    assert words(clear_at_95)["swiglu"] == "better"
    strict = verdict(study(shift=(0, 0, -1.1 * (d.high - d.mean), 0, 0.3)), level=0.995)
    assert words(strict)["swiglu"] == "cannot tell" and strict.arms["swiglu"].reason is None


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0, 95, np.nan])
def test_an_impossible_level_is_refused(level):
    with pytest.raises(ValueError, match="between 0.5 and 1"):
        verdict(study(), level=level)


@pytest.mark.parametrize("margin", [0.0, -0.01, np.inf, np.nan])
def test_an_impossible_margin_is_refused(margin):
    with pytest.raises(ValueError, match="positive difference"):
        verdict(study(), margin=margin)
