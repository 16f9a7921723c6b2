"""`paribus data audit` as a person runs it."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from paribus.cli import app
from paribus.cli.stages import amount
from paribus.errors import RequestError, WorkError

RUNNER = CliRunner()


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PARIBUS_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "source.jsonl"
    texts = [
        f"document {number}: " + " ".join(f"w{number * 7 + k}" for k in range(60)) for number in range(5)
    ]
    path.write_text(
        "".join(json.dumps({"text": text}) + "\n" for text in [*texts, texts[0], texts[1] + " end"])
    )
    return path


def test_the_answer_is_shown_and_both_files_are_written(source: Path, tmp_path: Path) -> None:
    done = RUNNER.invoke(
        app,
        f"data audit {source} --tokens 0.02M --out {tmp_path}/a.html --dedup {tmp_path}/clean.jsonl".split(),
    )
    assert done.exit_code == 0, done.output
    assert re.search(r"documents\W+1 \(14\.3 %\)\W+1 \(14\.3 %\)\W+5 \(71\.4 %\)", done.stdout)
    assert re.search(r"passes over 1\.\d+ k unique tokens are worth \d+\.?\d* k fresh ones", done.stdout)
    assert "reading text" in done.stderr and f"written: {tmp_path}/clean.ledger.jsonl" in done.stderr
    assert (tmp_path / "a.html").read_text().startswith("<!DOCTYPE html>")
    assert len((tmp_path / "clean.jsonl").read_text().splitlines()) == 5


def test_what_was_left_out_is_said(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    source.rename(folder / "source.jsonl")
    (folder / "latin.txt").write_bytes(b"caf\xe9")
    (folder / "picture.zip").touch()
    done = RUNNER.invoke(app, ["data", "audit", str(folder), "--ngrams", "8"])
    assert "left out, as they are empty or not text: 2" in done.stdout, done.output


def test_the_answer_is_shown_also_where_the_page_cannot_be_written(source: Path, tmp_path: Path) -> None:
    (tmp_path / "a.html").mkdir()
    done = RUNNER.invoke(app, ["data", "audit", str(source), "--ngrams", "8", "--out", f"{tmp_path}/a.html"])
    assert "fresh" in done.stdout and isinstance(done.exception, WorkError)
    assert f"writing to {tmp_path} failed" in str(done.exception)


def test_json_is_one_document(source: Path) -> None:
    done = RUNNER.invoke(
        app, ["data", "audit", str(source), "--json", "--ngrams", "8", "--against", str(source)]
    )
    results = json.loads(done.stdout)
    assert results["heldout"]["exact"]["documents"] == 7
    assert [row["n"] for row in results["ngrams"]] == [8]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--ngrams 13;50", "whole numbers by comma"),
        ("--tokens many", "as in 130M"),
        ("--out report.pdf", "--out is an .html file"),
        ("--out no/where.html", "is no folder"),
        ("--memory 0", "GB above zero"),
    ],
)
def test_options_that_cannot_be_are_one_sentence(source: Path, options: str, said: str) -> None:
    done = RUNNER.invoke(app, ["data", "audit", str(source), *options.split()])
    assert isinstance(done.exception, RequestError) and said in str(done.exception)


def test_amounts_are_said_with_their_unit() -> None:
    assert [amount(31e6, "bytes"), amount(2.5e9, "runs"), amount(940, "documents"), amount(5e6, "")] == [
        "31 MB",
        "2.5 G runs",
        "940 documents",
        "5 M",
    ]


@pytest.mark.slow
def test_ctrl_c_ends_an_audit_in_one_line_and_leaves_nothing(source: Path, tmp_path: Path) -> None:
    line = json.dumps({"text": " ".join(f"w{k}" for k in range(3000))}) + "\n"
    source.write_text(line * 3_000)
    command = [
        sys.executable,
        "-m",
        "paribus",
        "data",
        "audit",
        str(source),
        "--dedup",
        str(tmp_path / "clean.jsonl"),
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=dict(os.environ)) as run:
        assert run.stderr is not None
        assert run.stderr.readline().startswith("reading text")
        run.send_signal(signal.SIGINT)
        said = run.stderr.read()
    assert run.returncode == 130 and said.splitlines()[-1] == "stopped; nothing was written"
    assert "Traceback" not in said and not (tmp_path / "clean.jsonl").exists()
    assert not [path for path in (tmp_path / "cache" / "audits").glob("*") if path.is_dir()]
