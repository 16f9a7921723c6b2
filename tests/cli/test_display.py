"""What a study says while it runs where there is no terminal."""

import io
import re
import types
from collections.abc import Callable

import pytest
from rich.console import Console

from paribus.cli import display
from paribus.study.plan import Counted

Told = Callable[[float, int], list[str]]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Told]:
    """For a study of so many tokens: what is said once more tokens have come at a second."""

    def study(planned: int) -> Told:
        now = 100.0
        monkeypatch.setattr(display.time, "monotonic", lambda: now)
        said: list[str] = []
        progress = display._PlainProgress(said.append)
        progress.planned(0, planned)

        def come(second: float, tokens: int) -> list[str]:
            nonlocal now
            now = second
            progress.tokens(tokens)
            return said

        return come

    return study


def test_no_speed_is_said_of_tokens_that_have_only_begun_to_come(told: Callable[[int], Told]) -> None:
    come = told(10_000_000)
    come(200.0, 1_000_000)  # the first trials ran long and end almost together
    assert come(200.001, 1_000_000) == []
    assert come(220.0, 1_000_000) == ["3.0 of 10.0 M tokens, 100 k tok/s, 70 s left"]


def test_the_tokens_of_a_small_study_are_not_all_nought(told: Callable[[int], Told]) -> None:
    come = told(30_720)
    come(100.0, 640)
    assert come(120.0, 20_000) == ["20.6 of 30.7 k tokens, 1 k tok/s, 10 s left"]


def test_trials_are_counted_where_nobody_knows_their_tokens(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 100.0
    monkeypatch.setattr(display.time, "monotonic", lambda: now)
    with display.Display().trials(counts="trials") as listener:
        listener.planned(3, 27)
        listener.tokens(1)
        now = 120.0
        listener.tokens(2)
    assert capsys.readouterr().err == "6 of 27 trials, 210 s left\n"


@pytest.mark.parametrize(
    ("counts", "done"), [("tokens", "20.0 of 100.0 M tokens"), ("trials", "20,000,000 of")]
)
def test_a_bar_of_a_study_is_one_line_of_a_narrow_terminal(counts: Counted, done: str) -> None:
    shown = display.Display()
    shown.errors = Console(
        force_terminal=True, width=80, file=io.StringIO(), color_system=None, legacy_windows=False
    )
    trial = types.SimpleNamespace(name="an arm of a long name rate 0.002 seed 0")
    with shown.trials(counts=counts) as listener:
        listener.planned(0, 100_000_000)
        listener.tokens(20_000_000)
        listener.finished(trial, {"status": "done", "val_bpb": 4.003})  # type: ignore[arg-type]
    assert isinstance(shown.errors.file, io.StringIO)
    (*_, last) = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.errors.file.getvalue()).strip().splitlines()
    assert done in last and len(last) <= 80 and "an arm" in last


def test_turns_of_a_benchmark_are_said_now_and_then_with_the_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 100.0
    monkeypatch.setattr(display.time, "monotonic", lambda: now)
    with display.Display().turns() as turn:
        turn("building a", 0, 2)
        now = 160.0  # building took long, and says nothing of the turns
        turn("a", 1, 40)
        now = 165.0
        turn("b", 2, 40)
        now = 172.0
        turn("a", 4, 40)
    assert capsys.readouterr().err.splitlines() == [
        "0 of 2: building a",
        "1 of 40: a",
        "4 of 40, 144 s left: a",
    ]
