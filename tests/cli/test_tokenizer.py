"""`paribus tokenizer` in this process: what it prints, what it writes, and how it refuses."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from paribus.cli import app
from paribus.text.tokenizers import get_tokenizer

from .studies import Done

TEXT = "\n".join(f"the cat sat on mat {number % 7}, and the hat" for number in range(400))
Call = Callable[..., Done]


@pytest.fixture
def call(in_this_process: Callable[..., Call], tmp_path: Path) -> Call:
    (tmp_path / "text.txt").write_text(TEXT)
    return in_this_process(app, "paribus tokenizer")


@pytest.fixture
def trained(call: Call, tmp_path: Path) -> Path:
    done = call("train", "--data", "text.txt", "--vocab-size", "270", "--out", "own")
    assert (
        done.returncode == 0 and "270 tokens from 0.0 MB" in done.stderr and "it loses nothing" in done.stderr
    )
    return tmp_path / "own"


def test_what_is_trained_encodes_and_decodes(call: Call, trained: Path) -> None:
    found = json.loads(call("encode", "own", "the cat, 猫", "--json").stdout)
    assert found["round_trip"] and found["ids"] == get_tokenizer(str(trained)).encode("the cat, 猫").tolist()
    assert found["tokens"][0] == "the"
    assert call("decode", "own", *found["ids"]).stdout == "the cat, 猫\n"
    lines = call("encode", "own", "the cat").stdout.splitlines()
    assert [line.split()[-1] for line in lines] == ["'the'", "cat'"]


def test_json_says_what_was_made(call: Call, tmp_path: Path) -> None:
    options = [
        "--method",
        "bpe",
        "--special",
        "<|a|>",
        "--option",
        "coverage=0.9",
        "--unknown",
        "token",
        "--most-bytes",
        "1K",
    ]
    done = call("train", "--data", "text.txt", "--vocab-size", "60", "--out", "own", "--json", *options)
    found = json.loads(done.stdout)
    assert found["recipe"]["options"] == {"coverage": 0.9} and found["recipe"]["specials"] == ["<|a|>"]
    assert found["loses"] == ["characters that training did not see"] and found["files"] == [
        "paribus-tokenizer.json"
    ]
    assert found["vocab_size"] <= 60 and 1000 <= found["bytes"] < len(TEXT) / 2


def test_every_option_of_training_is_in_the_recipe(call: Call, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"body": "The CAT cat cat", "text": "no"}\n')
    options = ["--normaliser", "lowercase", "--split", "words", "--min-count", "3", "--text-field", "body"]
    done = call("train", "--data", "rows.jsonl", "--out", "own", "--method", "word", *options, "--json")
    recipe = json.loads(done.stdout)["recipe"]
    assert (recipe["normaliser"], recipe["split"], recipe["min_count"]) == ("lowercase", "words", 3)
    tokenizer = get_tokenizer(str(tmp_path / "own"))
    assert tokenizer.pieces[256:-1] == (b" ", b"a", b"c", b"e", b"h", b"t", b" cat")
    assert not json.loads(call("encode", "own", "Cat", "--json").stdout)["round_trip"]


def test_a_text_may_come_in_on_stdin(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    for raw, code in (("né\n".encode(), 0), (b"n\xe9", 2)):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(raw)))
        done = call("encode", "bytes", "--json")
        assert done.returncode == code
        if not code:
            assert json.loads(done.stdout)["ids"] == [*raw]
    assert "what came in is not UTF-8 text: byte 1 is wrong" in done.stderr


def test_bytes_take_no_text(call: Call) -> None:
    done = call("train", "--method", "byte", "--data", "text.txt", "--out", "own")
    assert done.returncode == 0 and "257 tokens from 0.0 MB" in done.stderr


def test_a_tokenizer_is_made_below_folders_that_are_not_there_and_in_an_empty_one(
    call: Call, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    for out in ("empty", "new/deep"):
        assert call("train", "--method", "byte", "--data", "text.txt", "--out", out).returncode == 0
        assert get_tokenizer(str(tmp_path / out)).vocab_size == 257


def test_a_place_that_cannot_be_written_is_told_before_training(call: Call, trained: Path) -> None:
    for command in (["train", "--data", "nowhere.txt", "--out"], ["convert", "own"]):
        done = call(*command, "text.txt/new")
        assert done.returncode == 2 and "text.txt/new cannot be written: " in done.stderr
        assert "text.txt is a file" in done.stderr and len(done.stderr.splitlines()) == 1


def test_fewer_tokens_than_asked_for_are_said(call: Call) -> None:
    done = call("train", "--data", "text.txt", "--vocab-size", "9000", "--out", "own", "--method", "word")
    assert done.returncode == 0 and "9,000 tokens were asked for: the text has no more to make" in done.stderr


def test_random_encodings_go_by_their_seed(call: Call, trained: Path) -> None:
    found = [
        call("encode", "own", TEXT[:200], "--dropout", "0.5", "--seed", seed, "--json").stdout
        for seed in (1, 1, 2)
    ]
    assert found[0] == found[1] != found[2] and all(json.loads(one)["round_trip"] for one in found)


def test_a_tokenizer_is_shown_and_converted(call: Call, trained: Path, tmp_path: Path) -> None:
    shown = json.loads(call("show", "own", "--json").stdout)
    assert (shown["algorithm"], shown["split"], shown["special_tokens"]) == (
        "byte_bpe",
        "gpt4",
        ["<|endoftext|>"],
    )
    assert call("convert", "own", "theirs").returncode == 0
    theirs = json.loads(call("show", "theirs", "--json").stdout)
    assert theirs["algorithm"] == "byte-level BPE" and theirs["loses"] == [] and theirs["vocab_size"] == 270
    assert call("convert", "own", "ranks", "--to", "tiktoken").returncode == 0
    assert (
        call("convert", "ranks/ranks.tiktoken", "back", "--to", "paribus", "--split", "gpt4").returncode == 0
    )
    assert (
        get_tokenizer(str(tmp_path / "back")).encode("the cat").tolist()
        == get_tokenizer(str(trained)).encode("the cat").tolist()
    )
    assert "byte-level BPE" in call("show", "theirs").stdout


def test_what_convert_does_not_know_is_one_sentence(call: Call, trained: Path) -> None:
    done = call("convert", "own", "new", "--to", "huggingface")
    assert "no format 'huggingface': known: paribus, sentencepiece, tiktoken, tokenizer.json" in done.stderr
    done = call("convert", "own", "new", "--split", "gpt2")
    assert "--split is for a file of ranks, and own says itself how text is cut" in done.stderr


def test_methods_are_listed(call: Call) -> None:
    found = json.loads(call("methods", "--json").stdout)
    assert {"byte_bpe", "unigram", "wordpiece_topdown", "syllable", "hmm"} <= set(found["methods"])
    assert found["splits"]["bert"]["loses"] == ["blanks"] and "gpt2" in call("methods").stdout


def test_segmenters_are_scored_and_shown(call: Call, tmp_path: Path) -> None:
    (tmp_path / "cut.txt").write_text("\n".join(f"猫 帽子{number % 9} 上 に" for number in range(60)))
    done = call("segment", "cut.txt", "--methods", "forward,dictionary", "--held-out", "0.5", "--json")
    found = json.loads(done.stdout)
    assert found["baseline"] == "forward" and len(found["rows"]) == 2
    shown = call("segment", "cut.txt", "--methods", "forward", "--show", "猫に上")
    assert shown.stdout.split() == ["forward", "猫", "に", "上"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "--out", "text.txt"], "text.txt is there already; give a folder that is not"),
        (["train", "--out", "new", "--data", "nothing.txt"], "there is no file or folder 'nothing.txt'"),
        (["train", "--out", "new", "--data", "text.txt", "--vocab-size", "256"], "leaves 255 pieces"),
        (
            ["train", "--out", "new", "--data", "text.txt", "--method", "hmm"],
            "hmm learns from segmented text: give the option segmented, a file of",
        ),
        (
            ["train", "--out", "new", "--most-bytes", "many"],
            "--most-bytes takes a size such as 30M or 5e6; it is 'many'",
        ),
        (["encode", "nowhere", "text"], "there is no tokenizer 'nowhere'"),
        (["encode", "text.txt", "text"], "text.txt holds no tokenizer"),
        (["decode", "bytes", "300"], "id 300 is not in the vocabulary of 'bytes', which is 0 to 256"),
        (["encode", "bytes", "text", "--dropout", "0.1"], "bytes was not trained by paribus"),
        (["convert", "bytes", "new"], "bytes was not trained by paribus"),
        (["decode", "bytes", str(10**30)], f"id {10**30} is not in the vocabulary of 'bytes'"),
        (["convert", "x.tiktoken", "new"], "a file of ranks does not say how text is cut: give --split"),
        (
            ["segment", "text.txt", "--methods", "forwrd"],
            r"there is no segmenter 'forwrd': did you mean forward?",
        ),
    ],
)
def test_what_cannot_be_done_is_one_sentence(call: Call, arguments: list[str], said: str) -> None:
    done = call(*arguments)
    assert done.returncode == 2 and said in done.stderr and len(done.stderr.splitlines()) == 1
