"""Counting false and true verdicts: rigged studies with a known answer, and the same numbers everywhere."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

from paribus.errors import RequestError
from paribus.study import engine
from paribus.study.calibration import simulation as calibration
from paribus.study.calibration.parallel import Processes
from paribus.study.calibration.simulation import (
    BASELINE,
    GROWTHS,
    LOOKS,
    POWER_SETTINGS,
    SETTINGS,
    Setting,
    draw,
    simulate,
    study,
    upper_limit,
)

TRUTH = {"arm": 0.0, "placebo": 0.0, "handicap": 6.0}
PLAIN = Setting(name="plain", about="", truth=TRUTH)
SEQUENCE = dataclasses.replace(PLAIN, looks=LOOKS)


def rigged(setting=PLAIN, *, shift=None, place=0.0, sd=0.01):
    """Losses at every rate with next to no noise: `shift` moves an arm, `place` is everybody's best rate."""
    rng = np.random.default_rng(0)
    seeds, steps = setting.looks[-1][0], setting.steps
    noise = sd * rng.standard_normal((len(setting.names), len(steps), seeds))
    moved = np.array([{**setting.truth, **(shift or {})}.get(name, 0.0) for name in setting.names])
    return 100.0 + 3 * (steps[:, None] - place) ** 2 + moved[:, None, None] + noise


# -- one study


def test_a_study_that_finds_what_is_true_has_no_false_verdict():
    counts = study(PLAIN, rigged())
    assert counts["studies"] == counts["found handicap"] == 1
    assert not any(counts[key] for key in ("false", "withheld", "grown", "unpooled", "found arm"))


@pytest.mark.parametrize(("arm", "shift"), [("arm", 1.0), ("arm", -1.0), ("placebo", 1.0), ("placebo", -1.0)])
def test_a_verdict_on_an_arm_that_does_not_differ_is_false(arm, shift):
    assert study(PLAIN, rigged(shift={arm: shift}))["false"] == 1


def test_two_false_verdicts_are_one_false_study():
    assert study(PLAIN, rigged(shift={"arm": 1.0, "placebo": -1.0}))["false"] == 1


@pytest.mark.parametrize("arm", ["arm", "handicap"])
def test_a_verdict_with_the_wrong_sign_is_false_and_nothing_was_found(arm):
    setting = dataclasses.replace(PLAIN, truth=TRUTH | {arm: 6.0})
    counts = study(setting, rigged(setting, shift={arm: -6.0}))
    assert counts["false"] == 1 and counts[f"found {arm}"] == 0


def test_a_better_arm_is_found_as_a_worse_one_is():
    setting = dataclasses.replace(PLAIN, truth=TRUTH | {"arm": -2.0})
    counts = study(setting, rigged(setting))
    assert (counts["found arm"], counts["found handicap"], counts["false"]) == (1, 1, 0)


def test_without_noise_everybody_is_refused_a_verdict():
    counts = study(PLAIN, rigged(sd=0.0, shift={"arm": 5.0}))
    assert (counts["withheld"], counts["false"], counts["found handicap"]) == (1, 0, 0)


@pytest.mark.parametrize("place", [-3.0, 2.0])
def test_the_grid_grows_to_the_best_rate(place):
    counts = study(PLAIN, rigged(place=place))
    assert (counts["grown"], counts["withheld"], counts["found handicap"]) == (1, 0, 1)


def test_the_grid_grows_as_often_as_that_of_a_study_and_then_there_is_no_verdict():
    assert GROWTHS == engine.MAX_EXTENSIONS
    counts = study(PLAIN, rigged(place=9.0))
    assert (counts["grown"], counts["withheld"], counts["found handicap"]) == (1, 1, 0)


def test_a_noisy_arm_turns_pooling_off():
    tables = rigged(SEQUENCE)
    tables[1] += np.random.default_rng(1).standard_normal(tables[1].shape)
    assert study(SEQUENCE, tables)["unpooled"] == 1


def test_a_false_verdict_at_an_early_look_counts_whatever_comes_after():
    tables = rigged(SEQUENCE)
    tables[1, :, :4] += 1.0
    tables[1, :, 4:] -= 1 / 3  # by 16 seeds the arm is where the baseline is
    last = dataclasses.replace(SEQUENCE, looks=LOOKS[-1:])
    assert study(last, tables)["false"] == 0
    assert study(SEQUENCE, tables)["false"] == 1


def test_each_look_asks_for_its_own_level():
    # Differences 1 3 1 3 of a pair of arms: t = 6.93 on 3 df, p = 0.006; significant at 0.05, not at 0.005.
    setting = Setting(name="pair", about="", truth={"arm": 0.0})
    tables = 3.0 * np.tile(setting.steps[:, None] ** 2, (2, 1, 4)) + 100.0
    tables[1] += [1.0, 3.0, 1.0, 3.0]
    assert study(setting, tables)["false"] == 1
    assert study(dataclasses.replace(setting, looks=((4, 0.005),)), tables)["false"] == 0


# -- what is drawn


def test_noise_has_the_correlation_and_the_spread_that_a_setting_says():
    setting = Setting(
        name="many",
        about="",
        looks=((20_000, 0.05),),
        correlation=0.7,
        noisier={"arm 1": 2.0},
        place=(0.2, 0.2),
        depth=(3.0, 3.0),
    )
    losses = draw(setting, np.random.default_rng(0))
    block = losses.mean(axis=(0, 1)) - losses.mean()  # nearly: 6 arms and 11 rates average the noise away
    noise = losses - losses.mean(axis=2, keepdims=True)
    assert noise[0].std() == pytest.approx(np.sqrt(1 + 0.25), rel=0.02)
    assert noise[1].std() == pytest.approx(np.sqrt(4 + 0.25), rel=0.02)
    correlation = np.corrcoef(losses[2, 3] - losses[3, 3], losses[2, 5] - losses[3, 5])[0, 1]
    assert correlation == pytest.approx(0.7, abs=0.02) and block.std() > 0.4
    steps = setting.steps
    at = dict(zip(setting.names, losses.mean(axis=2)))
    assert at[BASELINE] == pytest.approx(100 + 3 * (steps - 0.2) ** 2, abs=0.05)
    assert at["handicap"] - at[BASELINE] == pytest.approx(6.0, abs=0.05)


def test_heavy_tails_have_the_same_variance_and_more_far_out():
    normal, heavy = (
        draw(dataclasses.replace(PLAIN, looks=((50_000, 0.05),), tails=tails), np.random.default_rng(0))
        for tails in (None, 6.0)
    )
    normal, heavy = (losses[1, 4] - losses[2, 4] for losses in (normal, heavy))
    assert heavy.std() == pytest.approx(normal.std(), rel=0.03)
    assert stats.kurtosis(heavy) > 0.5 > abs(stats.kurtosis(normal))


def test_optima_are_drawn_within_their_range_and_the_baseline_can_be_fixed():
    setting = Setting(
        name="x", about="", place=(1.0, 1.0), baseline_place=0.5, depth=(2, 2), looks=((9_000, 0.05),)
    )
    means = draw(setting, np.random.default_rng(0)).mean(axis=2) - 100
    assert means[0] == pytest.approx(2 * (setting.steps - 0.5) ** 2, abs=0.06)
    assert means[1] == pytest.approx(2 * (setting.steps - 1.0) ** 2, abs=0.06)


def test_the_main_setting_has_the_shape_of_the_default_study():
    main = SETTINGS[0]
    assert (len(main.names), main.rates, main.looks) == (6, 3, ((4, 0.05),))
    assert main.controls == ("placebo", "handicap") and main.held
    names = [setting.name for setting in SETTINGS]
    assert len(set(names)) == len(names) and all(setting.rates % 2 for setting in SETTINGS)


def test_the_alphas_of_the_looks_spend_five_percent_in_all():
    assert sum(alpha for _, alpha in LOOKS) == pytest.approx(0.05)
    assert {setting.looks for setting in POWER_SETTINGS} >= {LOOKS}


# -- many studies


def test_numbers_do_not_depend_on_the_number_of_processes():
    rows, done = [], []
    for workers in (1, 2):
        with Processes(workers) as processes:
            rows.append(simulate(SETTINGS[0], 260, seed=5, processes=processes, progress=done.append))
    assert rows[0] == rows[1] and sorted(done) == [10, 10, 250, 250]
    with Processes(1) as processes:
        assert simulate(SETTINGS[0], 260, seed=6, processes=processes) != rows[0]


def test_no_two_jobs_draw_the_same_studies():
    jobs = [
        calibration._Job(setting=POWER_SETTINGS[0], seed=0, number=number, studies=60) for number in (0, 1)
    ]
    assert jobs[0].run() == jobs[0].run() != jobs[1].run()


def test_a_huge_difference_is_always_found_and_null_arms_alone_are_false():
    setting = dataclasses.replace(PLAIN, truth={"arm": -60.0, "handicap": 60.0})
    with Processes(1) as processes:
        row = simulate(setting, 49, seed=0, processes=processes)
    assert [(item["arm"], item["difference"], item["rate"]) for item in row["found"]] == [
        ("arm", -60.0, 1.0),
        ("handicap", 60.0, 1.0),
    ]
    assert (row["false"], row["studies"], row["withheld"]) == (0, 49, 0)
    assert row["false_upper"] <= calibration.FALSE_LIMIT


def test_too_few_simulations_are_refused_in_a_sentence():
    with Processes(1) as processes, pytest.raises(RequestError, match="at least 49"):
        simulate(PLAIN, 48, seed=0, processes=processes)


# -- limits


def test_the_fewest_simulations_are_those_that_can_pass():
    assert (
        upper_limit(0, calibration.FEWEST) <= calibration.FALSE_LIMIT < upper_limit(0, calibration.FEWEST - 1)
    )


@pytest.mark.parametrize(("count", "of"), [(0, 49), (3, 60), (1000, 20_000), (59, 60)])
def test_the_upper_limit_is_where_so_few_have_a_chance_of_five_percent(count, of):
    assert stats.binom.cdf(count, of, upper_limit(count, of)) == pytest.approx(0.05)


@pytest.mark.parametrize(("count", "of"), [(0, 10), (3, 60), (10, 10)])
def test_intervals_are_clopper_and_pearsons(count, of):
    expected = stats.binomtest(count, of).proportion_ci(method="exact")
    assert calibration.exact_interval(count, of) == pytest.approx((expected.low, expected.high))
    assert calibration.rate(count, of)["rate"] == count / of


def test_the_limits_of_certainty():
    assert upper_limit(10, 10) == 1.0 and calibration.exact_interval(10, 10)[1] == 1.0


@pytest.mark.slow
def test_the_pass_line_holds_in_a_tenth_of_the_full_run():
    with Processes(2) as processes:
        row = simulate(SETTINGS[0], 2000, seed=0, processes=processes)
    assert row["false_upper"] <= calibration.FALSE_LIMIT
    assert row["found"][0]["rate"] > 0.95
