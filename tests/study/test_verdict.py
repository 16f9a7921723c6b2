"""Every rule by which numbers of a study without trouble become words."""

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

from paribus.study.verdicts.verdict import judge

from .losses import NOISE, VALLEY, study, verdict, words

# -- the ordinary study


def test_clear_differences_get_verdicts_and_equal_arms_do_not():
    result = verdict(study())
    assert words(result) == {"relu": "baseline", "gelu": "cannot tell", "swiglu": "better"}
    assert {name: c.ok for name, c in result.controls.items()} == {"placebo": True, "handicap": True}
    assert (result.method, result.df, result.seeds, result.warnings) == ("dunnett", 12, 4, ())
    assert result.best_group == ("swiglu",) and result.edges == {}
    assert all(arm.reason is None for arm in result.arms.values())
    assert [name for name, arm in result.arms.items() if arm.difference is None] == ["relu"]


def test_a_worked_example_by_hand():
    # Diverged neighbours leave the middle row: a 1 2 3 4 and b 2 4 3 5. Differences 1 2 0 1: mean 1, sd
    # sqrt(2/3); a paired t test on 3 df: half-width 3.182446 * sqrt(2/3) / 2 = 1.299228, t = 2.449490,
    # p = 0.091721. Residual variance is half of that of the differences: 1/3; within arms 5/3 both.
    inf = [np.inf] * 4
    result = judge(
        {"a": [inf, [1, 2, 3, 4], inf], "b": [inf, [2, 4, 3, 5], inf]}, rates=[1, 2, 4], baseline="a"
    )
    b = result.arms["b"]
    assert b.values == (2, 4, 3, 5) and b.mean == 3.5 and b.verdict == "cannot tell"
    assert (b.rate, b.fitted_rate, b.diverged_trials) == (2, pytest.approx(2), 8)
    assert b.difference is not None and b.difference.mean == pytest.approx(1)
    assert b.difference.low == pytest.approx(1 - 1.299228, abs=1e-6)
    assert b.difference.high == pytest.approx(1 + 1.299228, abs=1e-6)
    assert b.difference.p_adjusted == pytest.approx(0.091721, abs=1e-6)
    assert result.critical == pytest.approx(3.182446, abs=1e-6)
    assert result.residual_sd == pytest.approx(math.sqrt(1 / 3)) and result.pairing_ratio == pytest.approx(5)


def test_best_rate_and_fitted_rate_are_both_given():
    arm = verdict(study()).arms["relu"]
    assert arm.rate == 3e-3 and 3e-3 < arm.fitted_rate < 3.3e-3


def test_no_ranking_is_baked_in():
    """The same numbers under other names get the same verdicts; the opposite shift, the opposite ones."""
    renamed = {{"swiglu": "gelu", "gelu": "swiglu"}.get(name, name): t for name, t in study().items()}
    assert words(verdict(renamed)) == {"relu": "baseline", "gelu": "better", "swiglu": "cannot tell"}
    assert words(verdict(study(shift=(0, 0.2, 0.2, 0, 0.3))))["swiglu"] == "worse"


def flat(judgement):
    arms = {**judgement.arms, **judgement.controls}
    return {name: dataclasses.astuple(dataclasses.replace(arms[name], values=())) for name in sorted(arms)}


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name in first:
        for a, b in zip(np.ravel(np.array(first[name], object)), np.ravel(np.array(second[name], object))):
            assert a == (pytest.approx(b) if isinstance(b, float | tuple) else b)


def test_order_of_arms_and_of_seeds_changes_nothing():
    losses = study()
    losses["swiglu"] = losses["swiglu"] + 0.03 * np.sin(np.arange(12)).reshape(3, 4)
    expected = verdict(losses)
    for other in (
        dict(reversed(losses.items())),
        {name: table[:, [2, 0, 3, 1]] for name, table in losses.items()},
    ):
        result = verdict(other)
        assert_same(flat(result), flat(expected))
        assert result.best_group == expected.best_group
        assert result.residual_sd == pytest.approx(expected.residual_sd)


def test_a_constant_for_each_seed_changes_no_difference():
    losses = study()
    shifted = {name: table + np.array([0.5, -0.3, 2.0, 0.1]) for name, table in losses.items()}
    first, second = verdict(losses), verdict(shifted)
    for name in ("gelu", "swiglu"):
        a, b = first.arms[name].difference, second.arms[name].difference
        assert dataclasses.astuple(a) == pytest.approx(dataclasses.astuple(b))
    assert words(first) == words(second) and second.pairing_ratio > 100 > first.pairing_ratio


def test_another_unit_of_loss_scales_everything_and_changes_no_verdict():
    first = verdict(study())
    second = verdict({name: table * math.log(2) for name, table in study().items()})
    a, b = first.arms["swiglu"].difference, second.arms["swiglu"].difference
    *lengths, p = dataclasses.astuple(a)
    assert dataclasses.astuple(b) == pytest.approx([*(length * math.log(2) for length in lengths), p])
    assert second.smallest_detectable_difference == pytest.approx(
        first.smallest_detectable_difference * math.log(2)
    )
    assert (words(first), first.seeds_to_halve) == (words(second), second.seeds_to_halve)


def test_what_the_study_could_have_seen_is_said():
    result = verdict(study())
    assert result.critical * result.residual_sd * math.sqrt(2 / 4) < result.smallest_detectable_difference
    assert 4 < result.seeds_to_halve <= 16


# -- controls


def test_a_placebo_found_different_is_said_first():
    result = verdict(study(shift=(0, 0, -0.2, 0.2, 0.3)))
    assert result.controls["placebo"].ok is False
    assert result.warnings[0].startswith("Do not trust this study: the placebo")


@pytest.mark.parametrize("shift", [0.0, -0.3])
def test_a_handicap_not_found_worse_is_said_first(shift):
    result = verdict(study(shift=(0, 0, -0.2, 0, shift)))
    assert result.controls["handicap"].ok is False and result.controls["placebo"].ok is True
    assert result.warnings[0].startswith("Do not trust this study: the handicap")


def test_a_placebo_equal_to_the_baseline_bit_for_bit_controls_nothing():
    losses = study()
    losses["placebo"] = losses["relu"].copy()
    result = verdict(losses)
    assert result.controls["placebo"].ok is None and "bit for bit" in result.warnings[0]


def test_a_control_that_diverged_is_not_judged():
    losses = study()
    losses["handicap"][:, 0] = np.inf
    result = verdict(losses)
    assert result.controls["handicap"].ok is None
    assert any("handicap was not judged" in warning for warning in result.warnings)


# -- unequal variances


def test_wild_variances_switch_to_welch_and_say_so():
    losses = study()
    losses["gelu"] = 2.9 + VALLEY + 100 * NOISE[1]
    result = verdict(losses)
    assert (result.method, result.critical, result.df) == ("welch", None, None)
    (warning,) = result.warnings
    assert (
        "the losses of gelu vary more" in warning
        and "by the variance of gelu and one of the others" in warning
    )
    assert result.best_group == ("swiglu", "gelu")  # as the intervals have it: relu is clearly behind
    assert words(result) == {"relu": "baseline", "gelu": "cannot tell", "swiglu": "better"}
    assert result.smallest_detectable_difference is None and result.seeds_to_halve is None
    # The quiet arms keep the narrow intervals that a pooled variance would have widened.
    assert result.arms["swiglu"].difference.high < -0.1
    assert result.arms["gelu"].difference.high > 1


def test_variances_that_differ_no_more_than_chance_allows_are_pooled():
    losses = study()
    losses["gelu"] = 2.9 + VALLEY + 5 * NOISE[1]  # a ratio of 25 among five arms of four seeds
    assert verdict(losses).method == "dunnett"


def test_a_baseline_needs_less_noise_to_have_a_variance_of_its_own():
    losses = study()
    losses["relu"] = 3.0 + VALLEY + 5 * NOISE[0]  # as much as leaves another arm pooled
    assert verdict(losses).method == "welch"


def test_a_noisy_baseline_makes_every_interval_wide():
    losses = study()
    losses["relu"] = 3.0 + VALLEY + 10 * NOISE[0]
    result = verdict(losses)
    assert result.method == "welch" and any("the losses of relu vary" in text for text in result.warnings)
    assert words(result) == {"relu": "baseline", "gelu": "cannot tell", "swiglu": "cannot tell"}


def test_two_noisy_arms_do_not_hide_each_other():
    values = np.random.default_rng(5).standard_normal((6, 4)) + np.array([0, -9, 0, 0, 0, 0])[:, None]
    # Of equal squares: neither is too noisy for chance beside the other.
    values[2], values[4] = 40 * np.array([1, -1, 0.5, -0.5]), 40 * np.array([-0.5, -1, 1, 0.5])
    tables = {name: row + 100 * VALLEY for name, row in zip("abcdef", values)}
    result = judge(tables, rates=[1, 2, 4], baseline="a")
    assert result.method == "welch" and result.arms["b"].verdict == "better"
    assert any(
        "by the variance of c and of e and one of the others" in text for text in result.warnings
    ) or any("by the variance of e and of c and one of the others" in text for text in result.warnings)


def test_arms_among_which_nothing_varies_share_no_variance():
    flat = {name: level + VALLEY + np.zeros(4) for name, level in zip("abc", (3.0, 2.9, 2.8))}
    flat["wild"] = 3.0 + VALLEY + 100 * NOISE[1]
    result = judge(flat, rates=[1, 2, 4], baseline="a")
    assert result.method == "paired" and set(words(result).values()) == {"baseline", "cannot tell"}
    assert "by as much at every seed" in result.arms["b"].reason
    assert (
        "the losses of wild vary more" in result.warnings[0]
        and "(those do not vary at all)" in result.warnings[0]
    )
    theirs = stats.ttest_1samp(100 * NOISE[1], 0).confidence_interval(1 - 0.05 / 3)
    assert result.arms["wild"].difference.low == pytest.approx(theirs.low)


def test_noisy_arms_beside_uneven_ones_leave_no_variance_to_share():
    losses = study()
    losses["gelu"] = 2.9 + VALLEY + 10 * NOISE[1]
    losses["swiglu"] = 2.8 + VALLEY + 100 * NOISE[2]
    losses["more"] = 2.8 + VALLEY + 1000 * NOISE[0]
    result = verdict(losses)
    assert (result.method, result.critical, result.df) == ("paired", None, None)
    assert any(
        "and those are uneven too" in text and "paired ones of each arm" in text for text in result.warnings
    )


def test_arms_that_seeds_pair_keep_their_own_intervals_beside_a_placebo_that_they_do_not():
    # The losses of a study of two nearly equal settings: base and arm go along, the placebo is drawn anew.
    base = np.array([3.0717, 2.9437, 3.1033, 3.0587])
    seeds = {
        "base": base,
        "arm": np.array([3.0715, 2.9440, 3.1021, 3.0586]),
        "handicap": np.array([3.1673, 3.0597, 3.1951, 3.1666]),
        "placebo": np.array([3.1308, 3.1120, 3.0093, 3.0751]),
    }
    valley = np.array([[1.0], [0.0], [1.0]])
    losses = {name: values + valley for name, values in seeds.items()}
    result = judge(losses, rates=[1, 2, 4], baseline="base", controls=["placebo", "handicap"])
    assert (result.method, result.critical, result.df) == ("paired", None, None)
    assert {name: control.ok for name, control in result.controls.items()} == {
        "placebo": True,
        "handicap": True,
    }
    for name, found in (result.arms | result.controls).items():
        if name != "base":
            theirs = stats.ttest_rel(seeds[name], base).confidence_interval(1 - 0.05 / 3)
            assert found.difference.low == pytest.approx(theirs.low, abs=1e-9)
            assert found.difference.high == pytest.approx(theirs.high, abs=1e-9)
    assert any(
        "the losses of placebo vary" in text and "paired ones of each" in text for text in result.warnings
    )


def test_arms_that_seeds_pair_are_found_where_no_arm_is_noisier_than_the_others():
    seeds = np.random.default_rng(3).standard_normal((5, 8))
    seeds[1] = seeds[0] + 0.01 * seeds[1]
    losses = {name: row + VALLEY for name, row in zip("abcde", seeds)}
    result = judge(losses, rates=[1, 2, 4], baseline="a")
    assert result.method == "paired"
    assert any("Seeds pair some arms with the baseline far better" in text for text in result.warnings)
    assert result.smallest_detectable_difference is None


def test_an_arm_that_equals_the_baseline_is_no_sign_of_pairing():
    losses = study()
    losses["gelu"] = losses["relu"] + 0.25
    assert verdict(losses).method == "dunnett"


def test_two_arms_are_a_paired_test_whatever_their_variances():
    losses = {"relu": 2.9 + VALLEY + NOISE[0], "gelu": 2.9 + VALLEY + 100 * NOISE[1]}
    assert verdict(losses, controls=()).method == "dunnett"
