from pathlib import Path
from typing import Any

import pytest

from paribus.errors import RequestError
from paribus.study import memory, session
from paribus.study.plan import Plan
from paribus.study.settings import resolve
from paribus.text.data import Dataset

from .conftest import TINY

Planned = tuple[Plan, Dataset]


def test_the_plan_names_its_text_by_content(corpus: Path, tmp_path: Path, planned: Planned) -> None:
    plan, data = planned
    copy = tmp_path / "copy.txt"
    copy.write_bytes(corpus.read_bytes())
    other, _ = session.make(
        resolve("default", {"data": str(copy), "arms": ["relu", "swiglu"], "seeds": 1}, TINY)
    )
    assert plan.data["sha256"] == data.sha256 == other.data["sha256"]
    copy.write_text(copy.read_text() + "one more line\n")
    changed, _ = session.make(resolve("default", {"data": str(copy), "seeds": 1}, TINY))
    assert changed.data["sha256"] != data.sha256


def test_what_cannot_fit_is_refused_before_any_text_is_read(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.txt")
    with pytest.raises(RequestError, match="GiB"):
        session.make(resolve("default", {"data": missing}, ["model.d_model=3000000"]))


@pytest.mark.parametrize(
    ("cores", "given", "expected"),
    [
        (2, {}, (2, 1)),
        (8, {}, (8, 1)),
        (64, {}, (12, 5)),  # 12 trials: no more workers than that
        (8, {"workers": 2}, (2, 4)),
        (8, {"threads": 4}, (2, 4)),
        (1, {"workers": 3}, (3, 1)),
    ],
)
def test_cores_are_shared_out(
    planned: Planned,
    monkeypatch: pytest.MonkeyPatch,
    cores: int,
    given: dict[str, Any],
    expected: tuple[int, int],
) -> None:
    monkeypatch.setattr(session.environment, "cores", lambda: cores)
    monkeypatch.setattr(memory, "machine_bytes", lambda: 2**60)
    division = session.divide(planned[0], **given)
    assert (division.workers, division.threads) == expected


def test_workers_are_as_many_as_memory_holds(planned: Planned, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, _ = planned
    need = max(memory.trial_bytes(arm.model, plan.train) for arm in plan.arms)
    monkeypatch.setattr(session.environment, "cores", lambda: 8)
    monkeypatch.setattr(memory, "machine_bytes", lambda: 3 * need)
    assert session.divide(plan) == session.Division(workers=3, threads=2)


def test_failed_trials_are_counted_in_one_sentence() -> None:
    rows = [
        {"arm": "relu", "lr": 1e-3, "seed": 0, "status": status, "error": "boom"}
        for status in ("failed", "done")
    ]
    error = session.failed_trials({"trials": rows})
    assert error is not None and "1 of 2 trials failed" in str(error) and "boom" in str(error)
    assert session.failed_trials({"trials": rows[1:]}) is None
