"""A study that is killed at any moment and run again ends as one that was left alone."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from paribus.study.folder import LEDGER

from .conftest import LONGER, write_corpus

#: What depends on how long things took.
CLOCKS = {"seconds", "tokens_per_second", "peak_memory_bytes", "created", "minutes", "command", "curve"} | {
    "reference",
    "effective_speedup",
}

_LONGEST = 12.0  # seconds that a study of the soak gets at the most, at first


def _command(corpus: Path, out: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "paribus", "study", "ffn", "--arms", "relu,swiglu", "--seeds", "1"),
        *("--data", str(corpus), "--out", str(out), "--workers", "2", *LONGER),
    ]


def _without_clocks(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_clocks(item) for key, item in value.items() if key not in CLOCKS}
    return [_without_clocks(item) for item in value] if isinstance(value, list) else value


def _results(out: Path) -> Any:
    return _without_clocks(json.loads((out / "results.json").read_text()))


def _finished(out: Path) -> int:
    """Trials in the ledger so far."""
    try:
        connection = sqlite3.connect(f"file:{out / LEDGER}?mode=ro", uri=True)
        return connection.execute("SELECT count(*) FROM trials").fetchone()[0]
    except sqlite3.OperationalError:
        return 0  # not there yet


def _kill_when(command: list[str], out: Path, *, trials: int) -> bool:
    """SIGKILL the study's own process once the ledger holds so many trials; False if it ended before."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while _finished(out) < trials:
        try:
            process.wait(timeout=0.02)
        except subprocess.TimeoutExpired:
            continue
        return False
    process.kill()
    process.wait()
    return True


def _finish(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("text") / "corpus.txt")


@pytest.fixture(scope="module")
def undisturbed(corpus: Path) -> Any:
    out = corpus.parent / "undisturbed"
    _finish(_command(corpus, out))
    return _results(out)


def _interrupt_when(command: list[str], out: Path, *, trials: int) -> str:
    """Ctrl-C once the ledger holds so many trials; what the study said."""
    # A shell's background job ignores Ctrl-C, and so would what it starts: the study is to be in the foreground.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    signal.signal(signal.SIGINT, before)
    while _finished(out) < trials:
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)  # what a terminal does: the whole group gets it
    said = process.communicate(timeout=10)[1]
    assert process.returncode == 130
    return said


@pytest.mark.slow
def test_kills_and_ctrl_c_change_nothing(corpus: Path, tmp_path: Path, undisturbed: Any) -> None:
    out = tmp_path / "killed"
    command = _command(corpus, out)
    assert all(_kill_when(command, out, trials=trials) for trials in (0, 4))
    said = _interrupt_when(command, out, trials=8)
    assert "the same command goes on from here" in said and "Traceback" not in said
    assert 8 <= _finished(out) < _finished(corpus.parent / "undisturbed")  # something was left to do
    _finish(command)
    assert _finished(out) == _finished(corpus.parent / "undisturbed")
    assert _results(out) == undisturbed


@pytest.mark.soak
def test_a_hundred_kills_change_nothing(corpus: Path, tmp_path: Path, undisturbed: Any) -> None:
    rng = random.Random(0)
    kills, round_, longest = 0, 0, _LONGEST
    while kills < 100:
        out = tmp_path / f"killed-{round_}"
        command = _command(corpus, out)
        round_ += 1
        while True:
            before = _finished(out)
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            try:
                process.communicate(timeout=rng.uniform(0.5, longest))
                break  # it ended by itself
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                kills += 1
            # On a slow machine no trial may fit: the times grow until one does.
            longest = 1.2 * longest if _finished(out) == before else _LONGEST
        assert process.returncode == 0
        assert _finished(out) == _finished(corpus.parent / "undisturbed")
        assert _results(out) == undisturbed
