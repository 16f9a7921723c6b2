"""`paribus tokenizer compare` as a person runs it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from paribus.cli import app
from paribus.errors import RequestError

RUNNER = CliRunner()


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PARIBUS_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "source.jsonl"
    texts = [" ".join(f"w{number * 97 + k}" for k in range(60)) for number in range(30)]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


def test_tables_report_and_tokenizers_come_of_one_command(source: Path, tmp_path: Path) -> None:
    for language, text in {"en": "a cat\n", "de": "eine Katze\n"}.items():
        (tmp_path / language).write_text(text)
    parallel = f"--parallel en={tmp_path}/en --parallel de={tmp_path}/de"
    done = RUNNER.invoke(
        app,
        f"tokenizer compare --methods byte_bpe --vocab-size 300 --data {source} --tokenizer bytes {parallel} "
        f"--out {tmp_path}/a.html --keep {tmp_path}/kept".split(),
    )
    assert done.exit_code == 0, done.output
    assert "Lossless, by bytes a token" in done.stdout and "byte_bpe:300" in done.stdout
    assert "2.00" in done.stdout  # 10 bytes for 5
    assert "training byte_bpe:300" in done.stderr
    assert (tmp_path / "a.html").read_text().startswith("<!DOCTYPE html>")
    kept = RUNNER.invoke(app, ["tokenizer", "encode", f"{tmp_path}/kept/byte_bpe-300", "w1", "--json"])
    assert json.loads(kept.stdout)["round_trip"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("", "give --methods, --tokenizer or both"),
        ("--methods byte_bpe --vocab-size 8k", "whole numbers by comma"),
        ("--methods byte_bpe --parallel de", "LANG=FILE"),
        ("--methods byte_bpe --out report.pdf", "--out is an .html file"),
        ("--methods byte_bpe --train-bytes much", "--train-bytes takes a size"),
        ("--tokenizer no/where", "no tokenizer 'no/where'"),
    ],
)
def test_options_that_cannot_be_are_one_sentence(source: Path, options: str, said: str) -> None:
    done = RUNNER.invoke(app, ["tokenizer", "compare", "--data", str(source), *options.split()])
    assert isinstance(done.exception, RequestError) and said in str(done.exception)


@pytest.mark.slow
def test_ctrl_c_ends_a_comparison_in_one_line(source: Path, tmp_path: Path) -> None:
    line = " ".join(f"w{number}" for number in range(3000))
    source.write_text("".join(json.dumps({"text": f"{n} {line}"}) + "\n" for n in range(3000)))
    command = [sys.executable, "-m", "paribus", "tokenizer", "compare", "--methods", "wordpiece", "--data"]
    with subprocess.Popen(
        [*command, str(source)], stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    ) as run:
        assert run.stderr is not None
        while not run.stderr.readline().startswith("training"):
            pass
        run.send_signal(signal.SIGINT)
        said = run.stderr.read()
    assert run.returncode == 130 and said.splitlines()[-1] == "stopped"
    assert "Traceback" not in said
