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
        ("--methods byte_bpe --train-models", "takes --keep FOLDER"),
        ("--methods byte_bpe --study seeds=2", "give that too"),
        ("--tokenizer no/where", "no tokenizer 'no/where'"),
    ],
)
def test_options_that_cannot_be_are_one_sentence(source: Path, options: str, said: str) -> None:
    done = RUNNER.invoke(app, ["tokenizer", "compare", "--data", str(source), *options.split()])
    assert isinstance(done.exception, RequestError) and said in str(done.exception)


@pytest.mark.slow
def test_models_of_every_lossless_tokenizer_are_studied_twice_and_again_from_where_it_was(
    source: Path, tmp_path: Path
) -> None:
    tiny = "model.d_model=12 model.num_layers=1 model.num_heads=2 train.tokens=640 train.batch_size=4"
    tiny += " train.seq_len=16 train.heldout_tokens=2000 train.compile=off seeds=1 rates=[4e-2,8e-2,16e-2]"
    settings = " ".join(f"--study {each}" for each in tiny.split())
    texts = [" ".join(f"w{number * 997 + k}" for k in range(150)) for number in range(80)]
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    command = [
        *["tokenizer", "compare", "--methods", "byte_bpe,byte", "--vocab-size", "300", "--train-models"]
    ]
    command += ["--data", str(source), "--keep", f"{tmp_path}/kept", *settings.split()]
    assert (done := RUNNER.invoke(app, command)).exit_code == 0, done.output
    for match in ("bytes", "flops"):
        found = json.loads((tmp_path / "kept" / f"study-{match}" / "results.json").read_text())
        assert [arm["name"] for arm in found["arms"]] == ["byte_bpe:300", "byte:300"]
        assert found["matched"] == match and found["data"]["heldout_bytes"] < source.stat().st_size / 5
    again = RUNNER.invoke(app, command)
    assert again.exit_code == 0 and "training byte_bpe" not in again.stderr
    other = RUNNER.invoke(app, [*command, "--alpha", "2"])
    assert isinstance(other.exception, RequestError) and "another comparison" in str(other.exception)


@pytest.mark.slow
def test_ctrl_c_ends_a_comparison_in_one_line(source: Path, tmp_path: Path) -> None:
    texts = (" ".join(f"w{number * 997 + k}" for k in range(800)) for number in range(3000))
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    command = [sys.executable, "-m", "paribus", "tokenizer", "compare", "--methods", "wordpiece", "--data"]
    with subprocess.Popen(
        [*command, str(source)], stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    ) as run:
        assert run.stderr is not None
        assert any(line.startswith("training") for line in run.stderr)
        run.send_signal(signal.SIGINT)
        said = run.stderr.read()
    assert run.returncode == 130 and said.splitlines()[-1] == "stopped"
    assert "Traceback" not in said
