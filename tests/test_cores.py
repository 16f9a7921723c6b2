"""How many threads and processes may be asked for."""

import subprocess
import sys

import pytest

from paribus import cores
from paribus.errors import RequestError


def test_processes_are_one_a_core_unless_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "cores", lambda: 3)
    assert cores.usable_processes(None) == 3 and cores.usable_processes(24) == 24


@pytest.mark.parametrize(
    ("here", "said"), [(1, "1 core can work with; at most 8"), (3, "3 cores can work with; at most 24")]
)
def test_more_processes_than_could_work_are_not_started(
    here: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cores, "cores", lambda: here)
    with pytest.raises(RequestError, match=said):
        cores.usable_processes(1000)


@pytest.mark.parametrize(
    "command",
    [
        ["train", "--threads", "100000", "--out", "never"],
        ["study", "ffn", "--threads", "100000", "--dry-run"],
        ["bench", "ffn", "--threads", "100000"],
        ["bench", "ffn", "--processes", "100000"],
        ["bench", "verdict", "--workers", "100000"],
        ["data", "prepare", "stdlib", "--out", "never", "--workers", "100000"],
    ],
)
def test_numbers_that_no_machine_could_take_are_refused(command: list[str]) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "paribus", *command], capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 2 and "Traceback" not in ran.stderr
    assert "less than or equal to 1024" in ran.stderr or "100,000 processes are more" in ran.stderr
