"""Files of studies are read without a trace, and whatever is wrong with them is one sentence."""

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from paribus.errors import RequestError
from paribus.study.finished import records
from paribus.study.finished.archive import find, open_study, read
from paribus.study.folder import LEDGER
from paribus.study.ledger import Ledger

from .folders import (
    finished_results,
    record,
    running,
    stored_plan,
    write_finished,
    write_killed,
    write_unfinished,
)


def _listing(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    return {
        item.name: (item.stat().st_size, item.stat().st_mtime_ns, item.read_bytes())
        for item in folder.iterdir()
    }


def _assert_read_without_a_trace(folder: Path) -> None:
    before = _listing(folder)
    study = read(folder)
    assert study.reason is None
    assert study.counts["done"] == 3
    assert len(records.load_trials(study)) == 3
    assert _listing(folder) == before


def test_reading_a_stopped_study_leaves_no_trace(tmp_path: Path) -> None:
    _assert_read_without_a_trace(write_unfinished(tmp_path / "x", trials=3))


def test_reading_a_running_study_leaves_no_trace(tmp_path: Path) -> None:
    with running(tmp_path / "x", trials=3):
        assert (tmp_path / "x" / f"{LEDGER}-wal").stat().st_size > 0
        _assert_read_without_a_trace(tmp_path / "x")


@pytest.mark.parametrize("copied", [False, True])
def test_reading_a_killed_study_leaves_no_trace(tmp_path: Path, copied: bool) -> None:
    folder = write_killed(tmp_path / "x", trials=3)
    assert (folder / f"{LEDGER}-wal").stat().st_size > 0
    if copied:
        (folder / f"{LEDGER}-shm").unlink()
    _assert_read_without_a_trace(folder)


def test_a_reader_does_not_hinder_the_writer(tmp_path: Path) -> None:
    with Ledger(tmp_path / LEDGER, plan_sha256="a", plan=stored_plan()) as ledger:
        for count in range(1, 4):
            record(ledger, stored_plan(), trials=count)
            assert read(tmp_path).counts["done"] == count


def _truncated(folder: Path) -> None:
    (folder / "results.json").write_text(json.dumps(finished_results())[:500])


def _huge(folder: Path) -> None:
    with (folder / "results.json").open("wb") as file:
        file.truncate(1 << 40)


def _write(text: str | bytes, name: str = "results.json") -> Callable[[Path], object]:
    content = text if isinstance(text, bytes) else text.encode()
    return lambda folder: (folder / name).write_bytes(content)


def _results(**more: object) -> Callable[[Path], object]:
    return _write(json.dumps(finished_results() | more))


def _sql(*statements: str) -> Callable[[Path], object]:
    def spoil(folder: Path) -> None:
        write_unfinished(folder / "made", trials=2)
        connection = sqlite3.connect(folder / "made" / LEDGER)
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        connection.close()
        (folder / "made" / LEDGER).rename(folder / LEDGER)
        shutil.rmtree(folder / "made")

    return spoil


def _cut_ledger(folder: Path) -> None:
    _sql()(folder)
    content = (folder / LEDGER).read_bytes()
    (folder / LEDGER).write_bytes(content[:5000] + b"\xff" * 3000)


HOSTILE = {
    "truncated": (_truncated, "results.json is not whole or not JSON"),
    "empty": (_write(""), "results.json is not whole or not JSON"),
    "huge": (_huge, r"1,099,512 MB, more than any study writes"),
    "not text": (_write(b"\xff\xfe\x00"), "results.json is not whole or not JSON"),
    "deep": (_write("[" * 100_000 + "]" * 100_000), "results.json is not whole or not JSON"),
    "deep enough": (_write("[" * 200 + "]" * 200), "nested more than 64 deep"),
    "a number without end": (_write("1" * 10_000), "results.json is not whole or not JSON"),
    "a list": (_write("[]"), "results.json is not what a study writes"),
    "null": (_write("null"), "results.json is not what a study writes"),
    "arms missing": (_results(arms=None), r"not what a study writes \(arms: input should be a valid list\)"),
    "no arms": (_results(arms=[]), r"not what a study writes \(arms: "),
    "an arm is a word": (_results(arms=["relu"]), r"not what a study writes \(arms\.0: "),
    "a mean is a word": (
        _results(arms=[{"name": "a", "verdict": "better", "mean": "x"}]),
        r"\(arms\.0\.mean: ",
    ),
    "an unknown verdict": (_results(arms=[{"name": "a", "verdict": "great"}]), r"\(arms\.0\.verdict: "),
    "half an interval": (
        _results(arms=[{"name": "a", "verdict": "better", "difference": {"mean": 1.0, "ci95": [1.0]}}]),
        r"\(arms\.0\.difference\.ci95: ",
    ),
    "a trial without seed": (
        _results(trials=[{"arm": "a", "lr": 1.0, "status": "done"}]),
        r"\(trials\.0\.seed: ",
    ),
    "a seed that is a word": (
        _results(trials=[{"arm": "a", "seed": "1", "lr": 1.0, "status": "done"}]),
        r"\(trials\.0\.seed: ",
    ),
    "results is a folder": (lambda folder: (folder / "results.json").mkdir(), "results.json is no file"),
    "results is a pipe": (lambda folder: os.mkfifo(folder / "results.json"), "results.json is no file"),
    "results in a circle": (
        lambda folder: (folder / "results.json").symlink_to(folder / "results.json"),
        "results.json cannot be read: Too many levels of symbolic links",
    ),
    "results without end": (
        lambda folder: (folder / "results.json").symlink_to("/dev/zero"),
        "results.json is no file",
    ),
    "no database": (_write(b"not a database at all" * 100, LEDGER), "cannot be read .file is not a database"),
    "a broken database": (_cut_ledger, "ledger.sqlite cannot be read"),
    "an empty ledger": (_write(b"", LEDGER), "cannot be read .no such table"),
    "a newer ledger": (_sql("PRAGMA user_version = 99"), "written by a newer paribus .ledger format 99"),
    "a ledger without plan": (_sql("DELETE FROM study"), "ledger.sqlite holds no plan"),
    "a plan that is none": (_sql("UPDATE study SET plan = '[1]'"), "the plan is not what a study writes"),
    "a plan that is no JSON": (_sql("UPDATE study SET plan = '{'"), "holds what no study writes"),
    "a rate that is a word": (_sql("UPDATE trials SET rate = 'fast'"), "whose rate or seed is no number"),
    "a name that is bytes": (
        _sql("UPDATE trials SET arm = x'ff00'"),
        "a trial without key, arm, status or time",
    ),
    "a time that is bytes": (
        _sql("UPDATE trials SET finished = x'00'"),
        "a trial without key, arm, status or time",
    ),
    "code that is a list": (
        _write(json.dumps(stored_plan(code=[1])), "plan.json"),
        r"the plan is not .*\(code: ",
    ),
    "an environment that is a word": (_results(environment="x"), r"\(environment: "),
    "a plan that is a folder": (lambda folder: (folder / "plan.json").mkdir(), "plan.json is no file"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_broken_study_is_listed_with_its_reason_in_one_sentence(tmp_path: Path, case: str) -> None:
    spoil, said = HOSTILE[case]
    (tmp_path / "x").mkdir()
    spoil(tmp_path / "x")
    write_finished(tmp_path / "whole")
    listed = {study.name: study for study in find(tmp_path)}
    assert listed["whole"].state == "finished"
    assert listed["x"].state == "broken"
    with pytest.raises(RequestError, match=said) as raised:
        open_study(str(tmp_path / "x"), runs=tmp_path)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 400


def test_numbers_that_json_does_not_know_are_unknown(tmp_path: Path) -> None:
    results = finished_results()
    results["arms"][1]["difference"] = {"mean": 1.0, "ci95": [float("-inf"), 2.0]}
    results["arms"][1]["mean"] = float("nan")
    results["arms"][0]["mean"] = 123.456
    (tmp_path / "results.json").write_text(json.dumps(results).replace("123.456", "1e999"))
    study = read(tmp_path)
    assert study.results is not None
    relu, swiglu = study.results["arms"]
    assert (relu["mean"], swiglu["mean"], swiglu["difference"]) == (None, None, None)
