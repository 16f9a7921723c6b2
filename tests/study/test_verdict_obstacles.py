"""What stands in the way of a verdict, and that it is said: few seeds, edges, lost trials, wrong requests."""

import numpy as np
import pytest

from paribus.study.verdicts.verdict import needs_extension

from .losses import RATES, VALLEY, study, verdict, words

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
