"""What a study says while it runs where there is no terminal."""

import pytest

from paribus.cli import display


def test_no_speed_is_said_of_tokens_that_have_only_begun_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(display.time, "monotonic", lambda: now)
    said: list[str] = []
    progress = display._PlainProgress(said.append)
    progress.planned(0, 10_000_000)
    now = 200.0  # the first trials ran long and end almost together
    progress.tokens(1_000_000)
    now = 200.001
    progress.tokens(1_000_000)
    assert said == []
    now = 220.0
    progress.tokens(1_000_000)
    assert said == ["3.0 of 10.0 M tokens, 100 k tok/s, 70 s left"]


def test_the_tokens_of_a_small_study_are_not_all_nought(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(display.time, "monotonic", lambda: now)
    said: list[str] = []
    progress = display._PlainProgress(said.append)
    progress.planned(0, 30_720)
    progress.tokens(640)
    now = 120.0
    progress.tokens(20_000)
    assert said == ["20.6 of 30.7 k tokens, 1 k tok/s, 10 s left"]
