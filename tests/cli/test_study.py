"""`paribus study`: what may be asked, and how."""

import json
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from paribus.cli import app
from paribus.errors import RequestError
from paribus.study.ledger import Ledger  # noqa: F401 - loaded before a test replaces the cache folder

from ..study.conftest import TINY, write_corpus


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARIBUS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    write_corpus(tmp_path / "corpus.txt")


def _run(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["study", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def _refused(*arguments: str) -> str:
    with pytest.raises(RequestError) as error:
        CliRunner().invoke(app, ["study", *arguments], catch_exceptions=False)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_help_is_that_of_the_question_and_names_the_other_commands() -> None:
    for arguments in ([], ["--help"]):
        shown = _run(*arguments)
        assert "--vary" in shown and "reproduce RUN_ID" in " ".join(shown.split())
    assert "STUDY" in _run("show", "--help")


@pytest.mark.slow
def test_a_grid_by_itself_is_a_study(tmp_path: Path) -> None:
    out = tmp_path / "out"
    shown = _run(
        *(
            "--vary",
            "norm=rmsnorm,layernorm",
            "--data",
            "corpus.txt",
            "--seeds",
            "1",
            "--out",
            str(out),
            "--json",
        ),
        *("--workers", "1", *TINY),
    )
    results = json.loads(shown)
    assert [arm["name"] for arm in results["arms"]] == ["rmsnorm", "layernorm"]
    assert results["question"] == "Which norm is better on corpus.txt, everything else equal?"
    assert (out / "report.html").exists()


def test_a_file_may_hold_the_whole_question(tmp_path: Path) -> None:
    tree = {
        "data": "corpus.txt",
        "seeds": 1,
        "arms": ["relu", {"name": "llama", "set": {"ffn": "swiglu", "norm": "rmsnorm", "position": "rope"}}],
        "model": {"d_model": 12, "num_layers": 1, "num_heads": 2, "norm": "layernorm"},
        "train": {"tokens": 640, "batch_size": 4, "seq_len": 16, "heldout_tokens": 512, "compile": "off"},
        "rates": [4e-2, 8e-2, 16e-2],
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(tree))
    results = json.loads(_run("mine.yaml", "--json", "--workers", "1", "--out", "out"))
    assert [arm["name"] for arm in results["arms"]] == ["relu", "llama"]
    assert results["arms"][1]["overrides"] == {
        "model.ffn": "swiglu",
        "model.norm": "rmsnorm",
        "model.position": "rope",
    }
    assert results["study"] == "mine"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1, 2]", "must be a mapping of settings"),
        ("a: [1", "is not YAML in line"),
        ("\x00", "is not YAML"),
        ("seedz: 5", "there is no setting seedz; did you mean seeds"),
        ("study: fnn", "there is no study of 'fnn'; did you mean ffn"),
        ("preset: huge", "there is no preset 'huge'"),
        ("", "must be a mapping of settings"),
    ],
)
def test_a_file_that_cannot_be_a_study_is_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    assert said in _refused("mine.yaml")


def test_a_missing_file_is_one_sentence() -> None:
    assert "mine.yaml cannot be read: No such file" in _refused("mine.yaml")


def test_a_question_must_be_asked() -> None:
    assert "nothing is compared" in _refused("--seeds", "4")
    assert "there is no study of 'fnn'; did you mean ffn" in _refused("fnn")


def test_a_grid_too_large_says_its_size_and_asks() -> None:
    said = _refused(
        *("--vary", "norm=rmsnorm,layernorm", "--seeds", "500", "--data", "corpus.txt"),
        "--workers",
        "1",
        *TINY,
    )
    assert "6,000 trials (4 arms x 3 rates x 500 seeds x 1 schemes), about" in said
    assert "--yes" in said and "--budget" in said


def test_options_of_other_launchers_are_refused() -> None:
    said = _refused("ffn", "--address", "auto", "--data", "corpus.txt", "--out", "out", *TINY)
    assert "--address belongs to --launcher ray" in said
    assert "there is no launcher 'rey'; did you mean ray" in _refused(
        "ffn", "--launcher", "rey", "--data", "corpus.txt", "--out", "out", *TINY
    )
    assert "--metric belongs to --exec" in _refused("ffn", "--metric", "loss")


def test_a_command_is_shown_as_it_would_be_run(tmp_path: Path) -> None:
    command = f"{sys.executable} train.py --ffn {{ffn}} --lr {{lr}} --seed {{seed}} --out {{out}}"
    done = CliRunner().invoke(
        app, ["study", "--exec", command, "--vary", "ffn=relu,a b", "--seeds", "1", "--dry-run"]
    )
    assert done.exit_code == 0
    assert "--ffn 'a b' --lr 0.001 --seed 0" in done.stderr
    assert "there is no handicap control" in done.stderr


def test_a_command_takes_nothing_of_other_studies() -> None:
    command = ("--exec", "train {lr} {seed} {out} {width}", "--vary", "width=1,2")
    for more, odd in (
        (("--ladder", "1M"), "--ladder"),
        (("--launcher", "ray"), "--launcher"),
        (("norm",), "norm"),
    ):
        assert _refused(*command, *more).startswith(f"{odd} is for studies of our own trainer")


@pytest.mark.slow
def test_a_ladder_can_be_looked_at_first() -> None:
    shown = _run(
        *("ffn", "--arms", "relu,swiglu", "--ladder", "8k,20k", "--data", "corpus.txt", "--seeds", "1"),
        *("--dry-run", "--json", "--workers", "1", *TINY, "train.tokens=2048"),
    )
    small, large = json.loads(shown).values()
    assert small["arms"][0]["params"] < large["arms"][0]["params"]
    assert 0 < small["expected_minutes"] and small["arms"][0]["tokens"] < large["arms"][0]["tokens"]


@pytest.mark.slow
def test_a_ladder_ends_with_its_table_and_its_answer(tmp_path: Path) -> None:
    shown = _run(
        *("ffn", "--arms", "relu,swiglu", "--ladder", "8k,16k", "--data", "corpus.txt", "--seeds", "1"),
        *("--out", "out", "--workers", "1", *TINY),
    )
    assert "8k (7,932)" in shown and "per doubling" in shown
    answer = json.loads((tmp_path / "out" / "results.json").read_text())["answer"]
    assert answer.startswith("On corpus.txt") and " ".join(answer.split()) in " ".join(shown.split())


def test_a_dry_run_shows_looks_and_schemes() -> None:
    shown = _run(
        *("ffn", "--data", "corpus.txt", "--until-resolved", "--schemes", "fan_in,normal_0.02", "--dry-run"),
        *("--workers", "1", *TINY),
    )
    assert "looks after 4, 8, 16" in shown and "initial schemes fan_in, normal_0.02" in shown
