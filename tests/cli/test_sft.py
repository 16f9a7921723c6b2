"""`paribus data sft`, and `paribus train` on what it makes."""

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from typer.testing import CliRunner

from paribus.cli import app
from paribus.errors import RequestError

TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}</s>{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.chdir(tmp_path)
    rows = [{"prompt": f"{n}+{n}?", "answer": f"It is {2 * n}."} for n in range(60)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"a": 1}]))


def _run(*arguments: str) -> tuple[str, str]:
    done = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout, done.stderr


def _tokenizer(folder: Path) -> None:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=270, special_tokens=["</s>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(["It is 12. user: assistant: 6+6?"] * 3, trainer)
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"chat_template": TEMPLATE, "eos_token": "</s>"})
    )


def test_the_ledger_is_printed_with_its_sums() -> None:
    with pytest.raises(RequestError, match="line 61 of rows.jsonl .*--skip-bad"):
        _run("data", "sft", "rows.jsonl", "--out", "packed", "--seq-len", "32")
    out, said = _run("data", "sft", "rows.jsonl", "--out", "packed", "--seq-len", "32", "--skip-bad")
    lines = {line.split("  ")[0].strip(): " ".join(line.split()) for line in out.splitlines()}
    assert lines["lines"] == "lines 61 = 60 documents + 1 bad"
    assert lines["documents"] == "documents 60 = 60 whole"
    assert "loss-bearing" in lines["tokens to learn"] and "padded" in lines["places in rows"]
    assert "LIMA" in out and "arXiv:2305.11206" in out
    assert "line 61 of rows.jsonl has no 'messages'" in said and "template plain" in said


@pytest.mark.slow
def test_a_tokenizer_of_a_folder_goes_with_the_data_and_a_model_is_trained_on_them(tmp_path: Path) -> None:
    _tokenizer(tmp_path / "own")
    out, _ = _run(
        *("data", "sft", "rows.jsonl", "--out", "packed", "--seq-len", "48", "--skip-bad", "--json"),
        *("--tokenizer", "own"),
    )
    packed = json.loads(out)
    assert packed["template"] == "own" and all(each["holds"] for each in packed["sums"])
    assert packed["splits"]["train"]["loss_bearing"] < packed["splits"]["train"]["tokens"]
    tiny = (
        "d_model=16",
        "num_layers=1",
        "num_heads=2",
        "batch_size=2",
        "tokens=960",
        "compile=off",
        "scores=1",
    )
    out, _ = _run("train", *tiny, "--data", "packed", "--out", "run", "--threads", "1", "--json")
    result = json.loads(out)
    assert result["status"] == "done" and result["train"]["seq_len"] == 48
    assert result["model"]["vocab_size"] == 270 and (tmp_path / "run/model/tokenizer.json").exists()
    tuned = ("batch_size=2", "tokens=960", "compile=off", "scores=1", "--data", "packed", "--threads", "1")
    out, _ = _run("train", *tuned, "--finetune", "run/model", "--out", "tuned", "--json")
    assert json.loads(out)["val_bpb"] < result["val_bpb"]
    _run("data", "sft", "rows.jsonl", "--out", "other", "--seq-len", "48", "--skip-bad")
    with pytest.raises(RequestError, match="was packed with the tokenizer 'bytes', and that of the model is"):
        _run("train", *tuned[:-4], "--finetune", "run/model", "--data", "other", "--out", "tuned-2")
