"""Names must not change: a ledger finds its finished trials by them, and reports and mirrors print them."""

from typing import Any

from paribus.study.naming import digest, run_id, trial_name


def test_a_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": [2.5, None]}) == digest({"b": [2.5, None], "a": 1})


def test_a_run_keeps_its_id() -> None:
    names: dict[str, Any] = {"data": "4a", "threads": 2, "code": {"torch": "2.0"}}
    assert run_id("k", **names) == "2d0b660c61c67c62"
    changes = ({"data": "4b"}, {"threads": 3}, {"code": {"torch": "2.1"}})
    ids = {
        run_id("k", **names),
        run_id("l", **names),
        *(run_id("k", **{**names, **change}) for change in changes),
    }
    assert len(ids) == 5


def test_a_trial_is_named_by_arm_rate_and_seed() -> None:
    assert trial_name("swiglu", 0.003, 7) == "swiglu rate 0.003 seed 7"
