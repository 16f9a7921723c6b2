"""One verdict from the verdicts under several initialisations."""

import numpy as np
import pytest

from paribus.study.verdicts.schemes import combine

from .losses import study, verdict


def judged(*, gelu=0.0, swiglu=-0.2, seeds=4, margin=None):
    return verdict(study(seeds, shift=(0, gelu, swiglu, 0, 0.3)), margin=margin)


def test_one_scheme_says_what_it_says():
    assert combine({"fan_in": judged()}) == {
        "relu": ("baseline", None),
        "gelu": ("cannot tell", None),
        "swiglu": ("better", None),
    }


def test_a_verdict_of_all_schemes_is_a_verdict():
    both = combine({"fan_in": judged(gelu=0.2), "normal": judged(gelu=0.3)})
    assert both["gelu"] == ("worse", None) and both["swiglu"] == ("better", None)


@pytest.mark.parametrize("other, said", [(0.2, "worse"), (0.0, "cannot tell")])
def test_a_verdict_that_turns_with_the_scheme_names_each(other, said):
    verdict, reason = combine({"fan_in": judged(), "normal": judged(swiglu=other)})["swiglu"]
    assert verdict == "depends on initialisation"
    assert reason == f"better under fan_in, {said} under normal"


def test_a_reason_that_all_share_is_kept():
    few = combine({"fan_in": judged(seeds=2), "normal": judged(seeds=2)})
    assert few["swiglu"] == ("cannot tell", "2 seeds; a verdict needs at least 4")
    same = combine({"fan_in": judged(margin=1.0), "normal": judged(margin=1.0)})
    assert same["swiglu"][0] == "same" and "less than the margin" in same["swiglu"][1]


def test_an_arm_that_diverged_under_all_schemes_diverged_and_under_one_depends():
    lost = study()
    lost["swiglu"][:] = np.inf
    diverged = verdict(lost)
    assert combine({"fan_in": diverged, "normal": diverged})["swiglu"][0] == "diverged"
    assert combine({"fan_in": diverged, "normal": judged()})["swiglu"][0] == "depends on initialisation"


def test_the_baseline_never_depends_on_initialisation():
    lost = study()
    lost["relu"][:] = np.inf
    both = combine({"fan_in": verdict(lost), "normal": judged()})
    assert both["relu"] == ("baseline", "diverged under fan_in, baseline under normal")
    assert combine({"fan_in": verdict(lost)})["relu"][0] == "diverged"


def test_schemes_with_other_arms_and_no_schemes_are_refused():
    other = study()
    del other["gelu"]
    with pytest.raises(ValueError, match="gelu was not judged under both fan_in and normal"):
        combine({"fan_in": judged(), "normal": verdict(other)})
    with pytest.raises(ValueError, match="no initialisation scheme"):
        combine({})
