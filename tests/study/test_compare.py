"""Two studies side by side, and apart where their numbers say nothing to each other."""

import json
from pathlib import Path
from typing import Any

import pytest

from paribus.study.finished.archive import read
from paribus.study.finished.compare import compare
from paribus.study.folder import LEDGER
from paribus.study.ledger import Ledger

from .folders import stored_plan, write_finished, write_unfinished


def _study(folder: Path, *, plan: dict[str, Any] | None = None, **results: Any) -> Path:
    write_finished(folder, **results)
    if plan is not None:
        (folder / "plan.json").write_text(json.dumps(plan))
    return folder


def _compare(one: Path, other: Path) -> dict[str, Any]:
    compared = compare(read(one), read(other))
    assert json.loads(json.dumps(compared)) == compared
    return compared


def test_arms_that_both_have_stand_side_by_side(tmp_path: Path) -> None:
    a = _study(tmp_path / "a", verdicts={"relu": "baseline", "gelu": "worse", "swiglu": "better"})
    b = _study(tmp_path / "b", verdicts={"relu": "baseline", "swiglu": "cannot tell", "geglu": "better"})
    compared = _compare(a, b)
    assert compared["comparable"]
    assert [arm["name"] for arm in compared["arms"]] == ["relu", "swiglu", "placebo"]
    assert compared["only"] == [["gelu"], ["geglu"]]
    swiglu = compared["arms"][1]
    assert swiglu["a"]["difference"] == {"mean": -0.14, "ci95": [-0.19, pytest.approx(-0.09)]}
    assert (swiglu["a"]["verdict"], swiglu["b"]["verdict"], swiglu["agree"]) == (
        "better",
        "cannot tell",
        None,
    )
    assert compared["arms"][2]["a"]["ok"] is True


@pytest.mark.parametrize(("verdict", "agree"), [("better", True), ("worse", False), ("cannot tell", None)])
def test_studies_agree_or_contradict_or_neither(tmp_path: Path, verdict: str, agree: bool | None) -> None:
    a = _study(tmp_path / "a", verdicts={"relu": "baseline", "swiglu": "better"})
    b = _study(tmp_path / "b", verdicts={"relu": "baseline", "swiglu": verdict})
    assert _compare(a, b)["arms"][1]["agree"] is agree


def test_results_on_different_texts_are_not_compared(tmp_path: Path) -> None:
    compared = _compare(_study(tmp_path / "a"), _study(tmp_path / "b", sha256="5b" * 32))
    assert not compared["comparable"]
    assert compared["because"] == ["they ran on different texts: text (4a4a4a4a) and text (5b5b5b5b)"]
    assert {arm["agree"] for arm in compared["arms"]} == {None}


def test_a_text_without_a_hash_may_be_another(tmp_path: Path) -> None:
    compared = _compare(_study(tmp_path / "a"), _study(tmp_path / "b", sha256=None))
    assert compared["because"] == ["no content hash of the text is known for b, so it may be another text"]


@pytest.mark.parametrize(
    ("results", "said"),
    [
        (
            {"baseline": "gelu", "verdicts": {"gelu": "baseline", "relu": "worse"}},
            "by different baselines: relu and gelu",
        ),
        ({"metric": "val_loss"}, "by different measures: val_bpb and val_loss"),
    ],
)
def test_differences_by_different_rules_are_not_compared(
    tmp_path: Path, results: dict[str, Any], said: str
) -> None:
    compared = _compare(_study(tmp_path / "a"), _study(tmp_path / "b", **results))
    assert said in compared["because"][0]


def test_an_unfinished_study_has_a_plan_to_compare_and_no_verdicts(tmp_path: Path) -> None:
    a = write_finished(tmp_path / "a", ledger=True)
    b = write_unfinished(tmp_path / "b", plan=stored_plan(seeds=4), trials=1)
    compared = _compare(a, b)
    assert compared["because"] == ["b is not finished and has no verdicts"]
    assert compared["differs"]["settings"] == {"seeds": [[0, 1], [0, 1, 2, 3]]}
    assert [(arm["name"], arm["b"]) for arm in compared["arms"]] == [("relu", None), ("swiglu", None)]


def _differs(tmp_path: Path, one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    found = _compare(_study(tmp_path / "a", plan=one), _study(tmp_path / "b", plan=other))["differs"]
    assert isinstance(found, dict)
    return found


def test_equal_plans_do_not_differ(tmp_path: Path) -> None:
    assert _differs(tmp_path, stored_plan(), stored_plan()) == {"settings": {}, "data": {}, "code": {}}


def test_differences_stand_under_their_heading(tmp_path: Path) -> None:
    other = stored_plan(
        margin=0.1, data={"name": "mine", "sha256": "5b"}, code={"paribus": "0.1.0", "mine.py": "x"}
    )
    found = _differs(tmp_path, stored_plan(), other)
    assert found["settings"] == {"margin": [None, 0.1]}
    assert found["data"].keys() == {"name", "sha256"}
    assert found["code"] == {"torch": ["2.0", None], "mine.py": [None, "x"]}


def test_what_differs_in_every_arm_is_said_once(tmp_path: Path) -> None:
    one, other = stored_plan(), stored_plan()
    for arm in other["arms"]:
        arm["model"] = arm["model"] | {"d_model": 24}
    other["arms"][1]["model"]["d_ff"] = 64
    found = _differs(tmp_path, one, other)["settings"]
    assert found == {"arms.*.model.d_model": [12, 24], "arms.swiglu.model.d_ff": [None, 64]}


def test_what_the_study_says_is_not_said_again_for_its_arms(tmp_path: Path) -> None:
    one, other = stored_plan(), stored_plan()
    other["train"] = other["train"] | {"tokens": 1280}
    for arm in other["arms"]:
        arm["train"] = other["train"]
    assert _differs(tmp_path, one, other)["settings"] == {"train.tokens": [640, 1280]}


def test_arms_of_one_study_only_are_no_differences_of_settings(tmp_path: Path) -> None:
    found = _differs(tmp_path, stored_plan(), stored_plan(arms=("relu", "geglu")))
    assert found["settings"] == {}


def test_without_a_plan_the_results_are_compared(tmp_path: Path) -> None:
    a = _study(tmp_path / "a", training={"tokens": 640, "clip": 1.0})
    b = _study(
        tmp_path / "b", plan=stored_plan(), training={"tokens": 1280, "clip": 1.0}, environment={"torch": "3"}
    )
    found = _compare(a, b)["differs"]
    assert found["settings"] == {"training.tokens": [640, 1280]}
    assert found["code"] == {"torch": ["2.0", "3"]}


def test_a_plan_in_the_ledger_serves_as_one_in_a_file(tmp_path: Path) -> None:
    a = write_finished(tmp_path / "a", ledger=True)
    b = _study(tmp_path / "b", plan=stored_plan(threads=2))
    with Ledger(a / LEDGER, plan_sha256="a", plan=stored_plan()):
        assert _compare(a, b)["differs"]["settings"] == {"threads": [1, 2]}
