"""`paribus data prepare` and `check`: from the command line to the folder, and what a user is told."""

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from paribus.cli import app
from paribus.text.data import first_pass, spans
from paribus.text.data.pieces import Piece
from paribus.text.data.tokenising import PieceWork


def paribus(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "paribus", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    draw = random.Random(0)
    path = tmp_path_factory.mktemp("source") / "rows.jsonl"
    texts = ["".join(draw.choices("abcdefgh ij\n", k=300)) for _ in range(300)]
    path.write_text("".join(json.dumps({"body": text}) + "\n" for text in texts))
    return path


@pytest.fixture(scope="module")
def prepared(source: Path) -> subprocess.CompletedProcess[str]:
    return paribus(
        "data", "prepare", source, "--out", source.parent / "out", "--text-field", "body", "--json"
    )


def test_the_document_says_what_was_made_and_how_fast(
    prepared: subprocess.CompletedProcess[str], source: Path
) -> None:
    assert prepared.returncode == 0, prepared.stderr
    found = json.loads(prepared.stdout)
    assert found["folder"] == str(source.parent / "out")
    assert (found["documents"], found["bytes"], found["tokens"]) == (300, 90_000, 90_300)
    assert found["train"]["tokens"] + found["heldout"]["tokens"] == 90_300
    assert 9_000 <= found["heldout"]["bytes"] < 10_000
    assert found["tokens_per_second"] == pytest.approx(90_300 / found["seconds"])
    assert found["earlier"] is False
    assert "reading text: 0.1 MB" in prepared.stderr


def test_what_was_finished_before_is_not_counted_as_speed(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spans, "BLOCK_BYTES", 20_000)
    given = ["data", "prepare", str(source), "--out", str(tmp_path / "out"), "--text-field", "body"]
    done: list[int] = []

    class Stopped(PieceWork):
        def do(self, piece: Piece, *, progress: Callable[[int], None]) -> None:
            if len(done) == 2:
                raise KeyboardInterrupt
            super().do(piece, progress=progress)
            done.append(piece.size)

    with monkeypatch.context() as stopping:
        stopping.setattr(first_pass, "PieceWork", Stopped)
        assert CliRunner().invoke(app, [*given, "--workers", "1"]).exit_code == 130
    again = CliRunner().invoke(app, [*given, "--workers", "1", "--json"])
    found = json.loads(again.stdout)
    assert found["finished_before"] == sum(done) / source.stat().st_size > 0.3
    assert found["tokens_per_second"] == pytest.approx(
        (1 - found["finished_before"]) * 90_300 / found["seconds"]
    )


def test_the_same_again_says_so_and_another_request_is_refused(
    prepared: subprocess.CompletedProcess[str], source: Path
) -> None:
    given = ("data", "prepare", source, "--out", source.parent / "out", "--text-field", "body")
    again = paribus(*given)
    assert again.returncode == 0, again.stderr
    assert "holds this already" in again.stderr
    assert json.loads(prepared.stdout)["sha256"] in again.stdout
    other = paribus(*given, "--held-out", 0.2)
    assert other.returncode == 2
    assert other.stderr.startswith("paribus: ") and "give another folder" in other.stderr


def test_a_folder_that_was_not_prepared_is_one_sentence(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["data", "check", str(tmp_path)])
    said = f"{tmp_path} is not a whole prepared dataset (meta.json: No such file or directory)"
    assert str(done.exception).startswith(said)


def test_check_reads_the_shards_and_fails_where_one_was_changed(
    prepared: subprocess.CompletedProcess[str], source: Path
) -> None:
    out = source.parent / "out"
    found = paribus("data", "check", out, "--json")
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["bytes_read"] == 2 * 90_300 + 2 * 8 * 300
    shard = out / "heldout-00000.bin"
    content = shard.read_bytes()
    try:
        shard.write_bytes(content[:-1] + b"\x07")
        failed = paribus("data", "check", out)
    finally:
        shard.write_bytes(content)
    assert failed.returncode == 1
    assert "heldout-00000.bin was changed" in failed.stderr


@pytest.mark.slow
def test_a_prepared_folder_is_trained_on(
    prepared: subprocess.CompletedProcess[str], source: Path, tmp_path: Path
) -> None:
    small = "d_model=16 num_layers=1 num_heads=2 tokens=1280 seq_len=16 batch_size=8 heldout_tokens=512"
    options = ("--data", source.parent / "out", "--threads", 1, "--out", tmp_path / "run", "--json")
    trained = paribus("train", *small.split(), "compile=off", *options)
    assert trained.returncode == 0, trained.stderr
    assert "reading text" not in trained.stderr
    assert "tokens of rows.jsonl" in trained.stderr


@pytest.mark.slow
def test_ctrl_c_ends_within_moments_and_the_same_command_goes_on(tmp_path: Path) -> None:
    draw = random.Random(0)
    words = ["".join(draw.choices("abcdefghij", k=6)) for _ in range(500)]
    source = tmp_path / "text.txt"
    source.write_text("\n\n".join(" ".join(draw.choices(words, k=100)) for _ in range(20_000)))
    command = [
        sys.executable,
        "-m",
        "paribus",
        "data",
        "prepare",
        str(source),
        "--out",
        str(tmp_path / "out"),
    ]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert running.stderr is not None
    assert running.stderr.readline().startswith("reading text")
    running.send_signal(signal.SIGINT)
    said = running.communicate(timeout=30)[1]
    assert running.returncode == 130, said
    assert "the same command goes on" in said
    assert paribus(*command[3:]).returncode == 0
