"""What a longer study would see, and what it would cost."""

import numpy as np
import pytest

from paribus.study.verdicts import dunnett
from paribus.study.verdicts.power import power, round_differences

from .losses import VALLEY, study, verdict


def test_rows_are_the_fewest_seeds_for_round_differences_and_time_goes_with_seeds():
    judgement = verdict(study())
    rows = power(judgement, minutes_so_far=6.0)
    seen = judgement.smallest_detectable_difference
    assert len(rows) == 4 and rows[0]["difference"] >= seen > rows[1]["difference"]
    for row in rows[1:]:
        shift = row["difference"] / judgement.residual_sd
        assert dunnett.detectable(5, 4, row["seeds"]) <= shift < dunnett.detectable(5, 4, row["seeds"] - 1)
        assert row["minutes"] == pytest.approx(6.0 * row["seeds"] / 4)
    assert 4 == rows[0]["seeds"] < rows[1]["seeds"] < rows[2]["seeds"] < rows[3]["seeds"]


def test_a_stricter_level_needs_more_seeds():
    usual, strict = (power(verdict(study(), level=level), minutes_so_far=1.0) for level in (0.95, 0.97))
    seeds = {row["difference"]: row["seeds"] for row in strict}
    assert all(seeds[row["difference"]] > row["seeds"] for row in usual[1:] if row["difference"] in seeds)


def test_more_than_a_thousand_seeds_are_not_promised():
    losses = study(64)
    rows = power(verdict(losses), minutes_so_far=6.0)
    assert rows[-1]["seeds"] is None and rows[-1]["minutes"] is None and rows[0]["seeds"] is not None


def test_without_a_time_there_are_seeds_and_no_minutes():
    rows = power(verdict(study()), minutes_so_far=None)
    assert [row["minutes"] for row in rows] == [None] * 4 and rows[0]["seeds"] == 4


def test_arms_without_a_score_are_not_counted():
    losses = study()
    losses["gelu"][:] = np.inf
    judgement = verdict(losses)
    row = power(judgement, minutes_so_far=1.0)[1]
    assert row["seeds"] == dunnett.seeds_to_detect(row["difference"] / judgement.residual_sd, 4)


def test_where_nothing_was_measured_nothing_is_promised():
    wild = study()
    wild["gelu"] = 2.9 + 100 * (wild["gelu"] - 2.9 - VALLEY) + VALLEY
    assert verdict(wild).method == "welch"
    for judgement in (verdict(wild), verdict(study(1))):
        assert power(judgement, minutes_so_far=6.0) == []


@pytest.mark.parametrize(
    "seen, expected",
    [
        (0.054, [0.1, 0.05, 0.02, 0.01]),
        (0.05, [0.05, 0.02, 0.01, 0.005]),
        (0.0101, [0.02, 0.01, 0.005, 0.002]),
        (7.0, [10.0, 5.0, 2.0, 1.0]),
        (3e-5, [5e-5, 2e-5, 1e-5, 5e-6]),
        (1.0, [1.0, 0.5, 0.2, 0.1]),
    ],
)
def test_differences_are_round_and_lie_around_what_is_seen_now(seen, expected):
    assert round_differences(seen) == expected
