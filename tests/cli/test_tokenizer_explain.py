"""`paribus tokenizer explain` as a person runs it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from paribus.cli import app
from paribus.errors import RequestError
from paribus.text.tokenizers.methods import Corpus, train_tokenizer
from paribus.text.tokenizers.recipe import Recipe
from paribus.text.tokenizers.training import write_tokenizer

RUNNER = CliRunner()
TEXT = "low lower lowest low"


def run(*arguments: str) -> str:
    done = RUNNER.invoke(app, ["tokenizer", "explain", *arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture
def tokenizer(tmp_path: Path) -> str:
    made = train_tokenizer(Recipe(method="bpe", vocab_size=280), Corpus(lambda: [TEXT]))
    write_tokenizer(made, tmp_path / "made")
    return str(tmp_path / "made")


def test_training_is_shown_merge_by_merge(tmp_path: Path) -> None:
    page = tmp_path / "bpe.html"
    out = run("--method", "bpe", "--merges", "2", TEXT, "--html", str(page))
    assert "l + o → lo" in out and "lo + w → low" in out and "␣ + low" not in out
    assert "␣ + lo (3)" in out and "␣ low e s t × 1" in out
    assert "lo + w → low" in page.read_text()


def test_training_on_a_file_is_that_of_its_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARIBUS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "a.txt").write_text(TEXT)
    arguments = ("--method", "wordpiece_likelihood", "--vocab-size", "400", "--steps", "3", "--json")
    of_file = json.loads(run(*arguments, "--data", str(tmp_path / "a.txt")))
    assert of_file == json.loads(run(*arguments, TEXT)) and len(of_file["steps"]) == 3
    assert {"left_count", "right_count", "score"} <= of_file["steps"][0]["pair"].keys()


def test_an_encoding_is_shown_with_what_fell_back(tokenizer: str) -> None:
    out = run("--tokenizer", tokenizer, "lower é")
    assert "\\xc3 195" in out and "before" in out and "l + o → lo" in out
    found = json.loads(run("--tokenizer", tokenizer, "lower é", "--json"))
    assert [word["word"] for word in found["words"]] == ["lower", " é"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a"], "give --method NAME to see training"),
        (["--method", "bpe", "--tokenizer", "bytes", "a"], "and not both"),
        (["--method", "bpe"], "give a text to train on"),
        (["--method", "bpe", "a", "--data", "stdlib"], "and not both"),
        (["--method", "bpe", "a", "--merges", "3", "--vocab-size", "300"], "give one of them"),
        (["--method", "unigram", "a"], "give --vocab-size"),
        (["--method", "char", "a"], "has no steps to show"),
        (["--tokenizer", "bytes"], "give a text to encode"),
        (["--tokenizer", "bytes", "a", "--merges", "3"], "--merges is for training"),
        (["--method", "bpe", "a", "--html", "a.txt"], "--html is an .html file"),
    ],
)
def test_a_wrong_request_is_a_sentence(arguments: list[str], said: str) -> None:
    done = RUNNER.invoke(app, ["tokenizer", "explain", *arguments])
    assert isinstance(done.exception, RequestError) and said in str(done.exception)
