import sqlite3
from pathlib import Path

import pytest

from paribus.errors import RequestError
from paribus.study.ledger import Ledger

from .conftest import outcome


def _open(path: Path, sha256: str = "a") -> Ledger:
    return Ledger(path, plan_sha256=sha256, plan={"x": sha256, "y": 1})


def test_results_survive_reopening(tmp_path: Path) -> None:
    with _open(tmp_path / "l") as ledger:
        ledger.record("k", arm="relu", rate=1e-3, seed=0, result=outcome(2.5))
    with _open(tmp_path / "l") as ledger:
        assert ledger.results() == {"k": outcome(2.5)}


def test_a_finished_trial_is_never_overwritten_and_a_failed_one_may_be(tmp_path: Path) -> None:
    with _open(tmp_path / "l") as ledger:
        for value in (2.5, 9.9):
            ledger.record("done", arm="relu", rate=1e-3, seed=0, result=outcome(value))
        ledger.record("failed", arm="relu", rate=1e-3, seed=1, result={"status": "failed", "reason": "x"})
        ledger.record("failed", arm="relu", rate=1e-3, seed=1, result=outcome(3.0))
        results = ledger.results()
    assert (results["done"]["val_bpb"], results["failed"]["val_bpb"]) == (2.5, 3.0)


def test_another_studys_ledger_is_refused(tmp_path: Path) -> None:
    _open(tmp_path / "l").close()
    with pytest.raises(RequestError, match=r"holds a different study \(other x\)"):
        _open(tmp_path / "l", "b")


def test_a_newer_ledger_is_refused_and_left_alone(tmp_path: Path) -> None:
    _open(tmp_path / "l").close()
    connection = sqlite3.connect(tmp_path / "l")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(RequestError, match="ledger format 99"):
        _open(tmp_path / "l")


def test_a_file_that_is_no_ledger_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "l"
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(RequestError, match="not a readable ledger"):
        _open(path)
    assert path.read_bytes().startswith(b"not a database")


def test_a_session_counts_once_it_finished_a_trial(tmp_path: Path) -> None:
    with _open(tmp_path / "l") as ledger:
        ledger.begin_session({"machine": "first"})
        for key in ("a", "b"):
            ledger.record(key, arm="relu", rate=1e-3, seed=0, result=outcome(2.5))
        ledger.begin_session({"machine": "idle"})
        ledger.begin_session({"machine": "second"})
        ledger.record("c", arm="relu", rate=1e-3, seed=0, result=outcome(2.5))
        sessions = ledger.sessions()
    assert [session["machine"] for session in sessions] == ["first", "second"]
    assert all(session["seconds"] >= 0 for session in sessions)


def test_a_ledger_that_was_damaged_behind_its_first_page_is_refused(tmp_path: Path) -> None:
    with _open(tmp_path / "l") as ledger:
        ledger.record("k", arm="relu", rate=1e-3, seed=0, result=outcome(2.5))
    connection = sqlite3.connect(tmp_path / "l")
    with connection:
        connection.execute("UPDATE trials SET result = '{\"val_bpb\": 2'")
        connection.execute("UPDATE sessions SET environment = 'x'")
    connection.close()
    with _open(tmp_path / "l") as ledger:
        for read in (ledger.results, ledger.sessions):
            with pytest.raises(RequestError, match="is not a readable ledger .* move it away"):
                read()
