"""The tokenizer beside a checkpoint, from its files."""

import json
from pathlib import Path
from typing import Any

import pytest

from paribus.families.inspecting import tokenizer
from paribus.families.inspecting.inspection import inspect
from paribus.families.inspecting.tokenizer import MAX_BYTES

from .checkpoints import config_of, write_config

_LEVEL = {"type": "Sequence", "pretokenizers": [{"type": "Split"}, {"type": "ByteLevel"}]}


@pytest.mark.parametrize(
    ("content", "algorithm", "size"),
    [
        ({"model": {"type": "BPE", "vocab": {"a": 0}}, "pre_tokenizer": _LEVEL}, "byte-level BPE", 1),
        ({"model": {"type": "BPE", "vocab": {"a": 0}, "byte_fallback": True}}, "BPE with bytes", 1),
        ({"model": {"type": "Unigram", "vocab": [["a", 0.0]]}}, "Unigram", 1),
        (
            {"model": {"type": "Unigram", "vocab": [["a", 0.0]]}, "added_tokens": [{"id": 0}, {"id": 1}]},
            "Unigram",
            2,
        ),
        (
            {
                "model": {"type": "WordPiece", "vocab": {"a": 0, "[CLS]": 1}},
                "added_tokens": [{"id": 1, "content": "[CLS]"}, {"id": 2, "content": "[NEW]"}],
            },
            "WordPiece",
            3,
        ),
    ],
)
def test_algorithm_and_vocabulary(tmp_path: Path, content: dict[str, Any], algorithm: str, size: int) -> None:
    write_config(tmp_path, config_of())
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    found = inspect(tmp_path)
    assert (found.value("tokenizer", "algorithm"), found.value("tokenizer", "vocabulary")) == (
        algorithm,
        size,
    )


@pytest.mark.parametrize(
    ("name", "algorithm"),
    [("tokenizer.model", "SentencePiece"), ("vocab.txt", "WordPiece"), ("merges.txt", "BPE"), ("x", None)],
)
def test_other_files(tmp_path: Path, name: str, algorithm: str | None) -> None:
    write_config(tmp_path, config_of())
    (tmp_path / name).write_text("")
    assert inspect(tmp_path).value("tokenizer", "algorithm") == algorithm


def test_a_file_too_large_is_not_read(tmp_path: Path) -> None:
    write_config(tmp_path, config_of())
    with (tmp_path / "tokenizer.json").open("wb") as stream:
        stream.truncate(MAX_BYTES + 1)
    found = inspect(tmp_path)
    assert found.value("tokenizer", "algorithm") is None
    assert "a tokenizer of at most 67,108,864 is read" in found.warnings[0]


def test_a_file_as_large_as_it_may_be_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_config(tmp_path, config_of())
    content = json.dumps({"model": {"type": "BPE", "vocab": {"a": 0}}})
    (tmp_path / "tokenizer.json").write_text(content)
    for limit, algorithm in ((len(content), "BPE"), (len(content) - 1, None)):
        monkeypatch.setattr(tokenizer, "MAX_BYTES", limit)
        assert inspect(tmp_path).value("tokenizer", "algorithm") == algorithm


def test_more_tokens_than_rows_are_told(tmp_path: Path) -> None:
    write_config(tmp_path, config_of())
    vocabulary = {str(number): number for number in range(41)}
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": {"type": "BPE", "vocab": vocabulary}}))
    assert "the tokenizer has 41 tokens, and the embedding rows for 40" in inspect(tmp_path).warnings
