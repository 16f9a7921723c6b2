"""`paribus train`: what it prints, and how it ends."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from paribus.cli import app
from paribus.cores import WAITING
from paribus.errors import RequestError
from paribus.families.loading import load
from paribus.study.single import session  # noqa: F401 - loaded before a test replaces the cache folder

from ..study.conftest import write_corpus
from ..study.single.conftest import LLAMA, OF_TRAINING, TINY, config_file

_DATA = ("--data", "corpus.txt", "--threads", "1")


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARIBUS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(tmp_path)
    write_corpus(tmp_path / "corpus.txt")


def _run(*arguments: str) -> tuple[str, str]:
    done = CliRunner().invoke(app, ["train", *_DATA, *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout, done.stderr


def test_a_run_ends_with_a_table_and_says_where_it_is(tmp_path: Path) -> None:
    out, said = _run(*TINY)
    folder = next((tmp_path / "runs").iterdir())
    assert folder.name.startswith("train-corpus-")
    assert f"run in runs/{folder.name}" in said and "bits per byte on held-out text" in said
    result = json.loads((folder / "result.json").read_text())
    assert f"{result['val_bpb']:.4f}" in out and f"{result['params']:,}" in out and "(as llama)" in out
    out, said = _run(*TINY, "--json")
    assert json.loads(out) == result and "was finished before" in said
    assert "finished before" not in _run(*TINY, "--no-resume")[1]


@pytest.mark.parametrize("given", [{}, {"OMP_WAIT_POLICY": "ACTIVE"}])
def test_threads_wait_as_those_of_a_study_unless_the_user_settles_it(
    given: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {name: value for name, value in os.environ.items() if name not in WAITING}
    monkeypatch.setattr("os.environ", before | given)
    settings = json.loads(_run(*TINY, "--json")[0])["as_run"]["settings"]
    assert {name: settings[name] for name in WAITING if name in settings} == (given or WAITING)


def test_a_file_of_settings_runs_again(tmp_path: Path) -> None:
    first = json.loads(_run(*TINY, "ffn=relu2", "--out", "first", "--json")[0])
    again = json.loads(_run("--config", "first/config.yaml", "--out", "again", "--json")[0])
    assert again["val_bpb"] == first["val_bpb"] and again["model"] == first["model"]


def test_a_likeness_shows_what_is_not_as_in_the_original(tmp_path: Path) -> None:
    config_file(tmp_path / "real", LLAMA)
    said = _run(*OF_TRAINING, "--like", "real", "--scale", "60K", "ffn=relu2")[1]
    rows = {row.split("  ")[0].strip(): row.split() for row in said.splitlines()}
    assert rows["vocab_size"] == ["vocab_size", "1,000", "257"]
    assert rows["ffn"][-1] == "relu2"
    assert "parameters, embeddings included" in rows


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("num_layer=2",), "there is no setting num_layer; did you mean num_layers"),
        (("--scale", "1M"), "scale is for like"),
        (("--like", "nowhere"), "there is no file or folder nowhere"),
        (("--finetune", "nowhere"), "there is no file or folder nowhere"),
        (("--config", "nowhere.yaml"), "nowhere.yaml cannot be read"),
        (("--data", "nowhere.txt"), "there is no file or folder 'nowhere.txt'"),
        (("d_model=10", "num_heads=3"), "d_model 10 is not a multiple of num_heads 3"),
    ],
)
def test_a_mistake_is_one_sentence(arguments: tuple[str, ...], said: str) -> None:
    with pytest.raises(RequestError) as error:
        CliRunner().invoke(app, ["train", *_DATA, *arguments], catch_exceptions=False)
    assert said in str(error.value) and "\n" not in str(error.value)


def _torchrun(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        + ["-m", "paribus", "train", *_DATA, *TINY, *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=300,
        check=False,
    )


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without torch.distributed")
def test_under_torchrun_one_process_speaks_and_writes(tmp_path: Path) -> None:
    done = _torchrun(tmp_path, "dtype=float32", "--out", "two", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["processes"] == 2 and result == json.loads((tmp_path / "two" / "result.json").read_text())
    assert done.stderr.count("bits per byte on held-out text") == 3
    alone = json.loads(_run(*TINY, "dtype=float32", "--out", "one", "--json")[0])
    assert result["val_bpb"] == pytest.approx(alone["val_bpb"], rel=1e-4)
    assert load(tmp_path / "two" / "model").config == load(tmp_path / "one" / "model").config
    again = _torchrun(tmp_path, "dtype=float32", "--out", "two", "--json")
    assert json.loads(again.stdout) == result and again.stderr.count("was finished before") == 1


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without torch.distributed")
def test_a_mistake_under_torchrun_is_told_once(tmp_path: Path) -> None:
    done = _torchrun(tmp_path, "batch_size=5", "--out", "two")
    assert done.returncode == 1
    assert done.stderr.count("train.batch_size is 5, which 2 processes cannot share evenly") == 1
    assert not (tmp_path / "two").exists()


def test_ctrl_c_says_how_to_go_on_and_going_on_ends_the_same(tmp_path: Path) -> None:
    more = (*TINY, "tokens=6400", "scores=50")
    whole = json.loads(_run(*more, "--out", "whole", "--json")[0])
    before = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # which a shell's background job ignores
    process = subprocess.Popen(
        [sys.executable, "-m", "paribus", "train", *_DATA, *more, "--out", "run"],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        cwd=tmp_path,
    )
    signal.signal(signal.SIGINT, before)
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if line.startswith("step 10 of"):
            os.kill(process.pid, signal.SIGINT)
    assert process.wait(timeout=60) == 130, "".join(lines)
    assert lines[-1] == "stopped; the same command goes on from here\n"
    assert "Traceback" not in "".join(lines) and (tmp_path / "run" / "checkpoint.pt").exists()
    again = json.loads(_run(*more, "--out", "run", "--json")[0])
    assert (again["val_bpb"], again["scores"]) == (whole["val_bpb"], whole["scores"])
