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
