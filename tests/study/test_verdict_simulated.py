"""False verdicts and power of the whole, by simulation."""

import math

import numpy as np
import pytest

from .losses import simulated, verdict, words


@pytest.mark.parametrize("correlation", [pytest.param(0.0, marks=pytest.mark.slow), 0.7])
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
