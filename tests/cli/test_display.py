"""What a study says while it runs where there is no terminal."""

from collections.abc import Callable

import pytest

from paribus.cli import display

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
