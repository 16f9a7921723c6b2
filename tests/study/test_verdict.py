"""Every rule by which numbers become words, and the false verdicts and power of the whole by simulation."""

import dataclasses
import math

import numpy as np
import pytest

from paribus.study.verdict import judge, needs_extension

RATES = np.array([1.5e-3, 3e-3, 6e-3])
VALLEY = np.array([0.1, 0.0, 0.08])[:, None]
CONTROLS = ("placebo", "handicap")
# Four seeds whose noise sums to zero and differs in shape from arm to arm.
NOISE = 0.01 * np.array([[1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1], [-2, 0, 1, 1], [0, 1, 1, -2]], float)


def study(seeds=4, *, shift=(0.0, 0.0, -0.2, 0.0, 0.3)):
    """relu (baseline), gelu (equal), swiglu (better by 0.2), placebo (equal), handicap (worse by 0.3)."""
    names = ("relu", "gelu", "swiglu", "placebo", "handicap")
    noise = np.resize(NOISE, (5, seeds)) if seeds != 4 else NOISE
    return {name: 2.9 + VALLEY + s + e for name, s, e in zip(names, shift, noise)}


def verdict(losses, **options):
    return judge(losses, **{"rates": RATES, "baseline": "relu", "controls": CONTROLS} | options)


def words(judgement):
    return {name: arm.verdict for name, arm in judgement.arms.items()}


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
    expected = [a.mean * math.log(2), a.low * math.log(2), a.high * math.log(2), a.p_adjusted]
    assert dataclasses.astuple(b) == pytest.approx(expected)
    assert second.smallest_detectable_difference == pytest.approx(
        first.smallest_detectable_difference * math.log(2)
    )
    assert (words(first), first.seeds_to_halve) == (words(second), second.seeds_to_halve)


def test_what_the_study_could_have_seen_is_said():
    result = verdict(study())
    assert result.critical * result.residual_sd * math.sqrt(2 / 4) < result.smallest_detectable_difference
    assert 4 < result.seeds_to_halve <= 16


# -- seeds


@pytest.mark.parametrize("seeds", [2, 3])
def test_few_seeds_give_intervals_and_no_verdict(seeds):
    result = verdict(study(seeds))
    arm = result.arms["swiglu"]
    assert arm.verdict == "cannot tell" and arm.reason == f"{seeds} seeds; a verdict needs at least 4"
    assert arm.difference.low < -0.2 < arm.difference.high
    assert [c.ok for c in result.controls.values()] == [None, None] and result.best_group == ()
    assert any(f"{seeds} seeds" in warning for warning in result.warnings)


def test_two_seeds_are_said_before_an_edge():
    losses = study(2)
    losses["gelu"] = losses["gelu"][[1, 0, 2]]
    assert verdict(losses).arms["gelu"].reason == "2 seeds; a verdict needs at least 4"


def test_one_seed_cannot_tell():
    result = verdict(study(1))
    arm = result.arms["swiglu"]
    assert (arm.verdict, arm.difference, result.method) == ("cannot tell", None, None)
    assert arm.reason == "one seed cannot tell; a verdict needs at least 4"
    assert arm.mean == arm.values[0] and result.smallest_detectable_difference is None


# -- the edge of the grid


@pytest.mark.parametrize(
    "order, edge, way, rate", [([1, 0, 2], "low", "lower", 1.5e-3), ([0, 2, 1], "high", "higher", 6e-3)]
)
def test_a_minimum_on_the_edge_gets_no_verdict_and_says_which_way_to_grow(order, edge, way, rate):
    losses = study()
    losses["swiglu"] = losses["swiglu"][order]
    result = verdict(losses)
    arm = result.arms["swiglu"]
    assert arm.verdict == "cannot tell" and f"must grow towards {way} rates" in arm.reason
    assert arm.difference.high < 0  # clear at this rate, and still no verdict
    assert (arm.rate, arm.fitted_rate) == (rate, pytest.approx(rate))
    assert result.edges == {"swiglu": edge} and "swiglu" not in result.best_group
    assert result.arms["gelu"].reason is None and needs_extension(losses, RATES) == edge


def test_a_baseline_on_the_edge_lets_nobody_be_judged():
    losses = study()
    losses["relu"] = losses["relu"][[1, 0, 2]]
    result = verdict(losses)
    assert words(result) == {"relu": "baseline", "gelu": "cannot tell", "swiglu": "cannot tell"}
    assert "relu" in result.arms["swiglu"].reason and "lowest tried" in result.arms["relu"].reason
    assert any("No verdict" in warning for warning in result.warnings) and result.best_group == ()


def test_extension_is_asked_for_all_arms_alike():
    losses = study()
    assert needs_extension(losses, RATES) is None
    losses["placebo"] = losses["placebo"][[1, 0, 2]]
    losses["gelu"] = losses["gelu"][[0, 2, 1]]
    assert needs_extension(losses, RATES) == "both"
    assert needs_extension({"a": [[1.0]]}, [1e-3]) == "both"
    assert needs_extension({"a": [[np.inf], [1.0], [np.inf]]}, RATES) is None
    assert needs_extension({"a": [[1.0], [np.nan], [2.0]]}, RATES) is None  # first run the missing trial
    assert needs_extension({"a": np.full((3, 2), np.inf)}, RATES) is None


# -- diverged and failed trials


def test_a_diverged_rate_counts_as_higher_and_the_arm_is_still_judged():
    losses = study()
    losses["swiglu"][2, 1] = np.inf
    result = verdict(losses)
    arm = result.arms["swiglu"]
    assert (arm.verdict, arm.diverged_trials, arm.rate) == ("better", 1, 3e-3)
    assert arm.values == pytest.approx(losses["swiglu"][1])


def test_an_arm_without_a_rate_where_every_seed_converged_is_diverged_and_pools_nothing():
    losses = study()
    without = verdict({name: table for name, table in losses.items() if name != "gelu"})
    losses["gelu"][[0, 1, 2], [0, 1, 3]] = np.inf
    result = verdict(losses)
    arm = result.arms["gelu"]
    assert (arm.verdict, arm.values, arm.mean, arm.difference) == ("diverged", (), None, None)
    assert arm.diverged_trials == 3 and arm.reason
    assert result.arms["swiglu"] == without.arms["swiglu"] and result.df == without.df == 9


def test_a_diverged_baseline_means_no_verdict_for_anybody():
    losses = study()
    losses["relu"][:, 0] = np.inf
    result = verdict(losses)
    assert words(result) == {"relu": "diverged", "gelu": "cannot tell", "swiglu": "cannot tell"}
    assert "relu" in result.arms["gelu"].reason and result.arms["gelu"].difference is None
    assert (result.method, result.critical, result.best_group) == (None, None, ())
    assert [c.ok for c in result.controls.values()] == [None, None] and result.warnings


@pytest.mark.parametrize("rate", [0, 1, 2])
def test_a_failed_trial_at_the_minimum_or_beside_it_leaves_no_verdict(rate):
    losses = study()
    losses["swiglu"][rate, :2] = np.nan
    result = verdict(losses)
    arm = result.arms["swiglu"]
    assert (arm.verdict, arm.failed_trials, arm.difference) == ("cannot tell", 2, None)
    assert arm.reason.startswith("2 trials failed")
    assert result.arms["gelu"].difference is not None and result.df == 9


def test_a_failed_trial_far_from_the_minimum_does_no_harm():
    rates = [*RATES, 1.2e-2, 2.4e-2]
    losses = {name: np.vstack([table, table[:1] + 0.3, table[:1] + 0.9]) for name, table in study().items()}
    losses["swiglu"][4, 0] = np.nan
    arm = verdict(losses, rates=rates).arms["swiglu"]
    assert (arm.verdict, arm.failed_trials) == ("better", 1)


def test_a_rate_with_a_missing_seed_may_be_the_best_one_and_is_not_passed_over():
    # Five rates with a second valley at the last-but-one, where a trial is missing: nobody knows the score.
    losses = {n: np.vstack([t, t[:1] + 0.3, t[:1] + 0.9]) for n, t in study().items()}
    losses["swiglu"][4] -= 2.0
    losses["swiglu"][4, 0] = np.nan
    arm = verdict(losses, rates=[*RATES, 1.2e-2, 2.4e-2]).arms["swiglu"]
    assert arm.verdict == "cannot tell" and arm.reason.startswith("1 trial failed")


def test_an_arm_of_which_nothing_ran_and_a_failed_baseline():
    losses = study()
    losses["gelu"][:] = np.nan
    assert verdict(losses).arms["gelu"].reason.startswith("12 trials failed")
    losses["relu"][1, 0] = np.nan
    result = verdict(losses)
    assert words(result)["relu"] == "baseline" and "1 trial failed" in result.arms["relu"].reason
    assert "cannot be compared with" in result.arms["swiglu"].reason


def test_seeds_that_change_nothing_cannot_measure_chance():
    losses = {name: np.repeat(2.9 + VALLEY + s, 4, axis=1) for name, s in (("relu", 0.0), ("gelu", 0.5))}
    result = verdict(losses, controls=())
    assert words(result)["gelu"] == "cannot tell" and "residual variance" in result.arms["gelu"].reason
    assert result.smallest_detectable_difference is None


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
    assert any("Welch" in warning for warning in result.warnings)
    assert words(result) == {"relu": "baseline", "gelu": "cannot tell", "swiglu": "better"}
    assert result.smallest_detectable_difference is None and result.seeds_to_halve is None
    # The quiet arms keep the narrow intervals that a pooled variance would have widened.
    assert result.arms["swiglu"].difference.high < -0.1
    assert result.arms["gelu"].difference.high > 1


def test_variances_that_differ_no_more_than_chance_allows_are_pooled():
    losses = study()
    losses["gelu"] = 2.9 + VALLEY + 5 * NOISE[1]  # a ratio of 25 among five arms of four seeds
    assert verdict(losses).method == "dunnett"


def test_two_arms_are_a_paired_test_whatever_their_variances():
    losses = {"relu": 2.9 + VALLEY + NOISE[0], "gelu": 2.9 + VALLEY + 100 * NOISE[1]}
    assert verdict(losses, controls=()).method == "dunnett"


# -- requests that cannot be met


@pytest.mark.parametrize(
    "change, options, sentence",
    [
        ({}, {"baseline": "rleu"}, "did you mean relu"),
        ({}, {"controls": ("placbo",)}, "did you mean placebo"),
        ({}, {"controls": ("gelu",)}, "gelu is not a control"),
        ({}, {"rates": RATES[::-1]}, "positive and increasing"),
        ({}, {"rates": [0, 1, 2]}, "positive and increasing"),
        ({"gelu": np.ones((3, 2))}, {}, r"losses of gelu have shape \(3, 2\); every arm needs 3 rates x 4"),
        ({"gelu": np.ones((2, 4))}, {}, "losses of gelu"),
        ({"gelu": np.ones(3)}, {}, "losses of gelu"),
        ({"gelu": np.full((3, 4), -np.inf)}, {}, "-inf"),
    ],
)
def test_a_wrong_request_is_explained(change, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        verdict(study() | change, **options)


# -- the whole, by simulation


def simulated(rng, *, correlation, sd, shift=None, arms=6, seeds=4):
    """Seed blocks, valleys of uneven depth (0.05 to 0.15), and noise correlated across rates or not."""
    valley = np.zeros((arms, 3, 1))
    valley[:, [0, 2], 0] = rng.uniform(0.05, 0.15, (arms, 2))
    common, own = rng.standard_normal((arms, 1, seeds)), rng.standard_normal((arms, 3, seeds))
    noise = sd * (math.sqrt(correlation) * common + math.sqrt(1 - correlation) * own)
    block = 0.05 * rng.standard_normal(seeds)
    names = ("relu", "gelu", "swiglu", "geglu", "reglu", "placebo")
    tables = 2.92 + valley + noise + block
    return {name: table + (shift or {}).get(name, 0.0) for name, table in zip(names, tables)}


@pytest.mark.parametrize("correlation", [0.0, 0.7])
def test_false_verdicts_stay_at_five_percent(correlation):
    rng = np.random.default_rng(20)
    studies, false = 2000, 0
    for _ in range(studies):
        result = verdict(simulated(rng, correlation=correlation, sd=0.03), controls=("placebo",))
        wrong = {"better", "worse"} & set(words(result).values())
        false += bool(wrong) or result.controls["placebo"].ok is False
    bound = 2.576 * math.sqrt(0.05 * 0.95 / studies)
    assert abs(false / studies - 0.05) < bound


def test_a_difference_of_the_default_study_is_found():
    rng = np.random.default_rng(21)
    found = [
        verdict(simulated(rng, correlation=0.7, sd=0.04, shift={"swiglu": -0.14}), controls=("placebo",))
        for _ in range(400)
    ]
    assert np.mean([words(result)["swiglu"] == "better" for result in found]) > 0.95
    assert not any(words(result)["swiglu"] == "worse" for result in found)
