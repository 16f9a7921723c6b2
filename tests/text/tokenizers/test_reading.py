"""A tokenizer's own file, broken in every way: one sentence, and no tokenizer."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paribus.errors import RequestError
from paribus.text.tokenizers import get_tokenizer, reading
from paribus.text.tokenizers.methods import Corpus, train_tokenizer
from paribus.text.tokenizers.recipe import Recipe
from paribus.text.tokenizers.trained import FILE
from paribus.text.tokenizers.training import write_tokenizer

TEXT = "the cat sat on the mat, the other cat sat on the hat\n"


def content(method: str = "bpe") -> dict[str, Any]:
    tokenizer = train_tokenizer(Recipe(method=method, vocab_size=300), Corpus(lambda: [TEXT]))
    found: dict[str, Any] = json.loads(tokenizer.files()[FILE])
    return found


def opened(folder: Path, given: object) -> object:
    (folder / FILE).write_text(given if isinstance(given, str) else json.dumps(given))
    return get_tokenizer(str(folder))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(Recipe(method="bpe", vocab_size=300), Corpus(lambda: [TEXT]))
    assert write_tokenizer(tokenizer, tmp_path / "it") == (FILE,)
    assert get_tokenizer(str(tmp_path / "it")).name == tokenizer.name
    assert get_tokenizer(str(tmp_path / "it" / FILE)).name == tokenizer.name


def changed(change: Callable[[dict[str, Any]], object], method: str = "bpe") -> dict[str, Any]:
    found = content(method)
    change(found)
    return found


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "is empty"),
        ("not json", "is not JSON"),
        ("[1, 2]", "a JSON object is expected"),
        ('{"format": 1, "format": 1}', "gives the key 'format' twice"),
        ({"format": 99}, "is of format 99, and this Paribus reads 1"),
        ({}, "is of format None"),
        ({"format": 1}, "is not a whole tokenizer"),
        (changed(lambda it: it["recipe"].update(method="bqe")), "cannot be used: there is no method 'bqe'"),
        (changed(lambda it: it["recipe"].update(split="x")), "cannot be used: there is no split 'x'"),
        (changed(lambda it: it["recipe"].update(more=1)), "is not a whole tokenizer"),
        (changed(lambda it: it["model"].pop("merges")), "is not a whole tokenizer"),
        (changed(lambda it: it["model"]["merges"].append([0, 10**6, 1])), "of pieces that are not there yet"),
        (changed(lambda it: it["model"]["merges"].append([-1, 0, 1])), "of pieces that are not there yet"),
        (
            changed(lambda it: it["model"]["merges"].append(it["model"]["merges"][0])),
            "is there twice: ",
        ),
        (changed(lambda it: it["model"]["pieces"].append("\u732b"), "byte_bpe"), "stands for no byte"),
        (
            changed(lambda it: it["model"]["pieces"].append("h"), "byte_bpe"),
            "the piece b'h' is there twice",
        ),
        (changed(lambda it: it["model"]["pieces"].append(""), "byte_bpe"), "is empty"),
        (changed(lambda it: it["model"].update(bytes="!!"), "byte_bpe"), "not all 256, each once"),
    ],
)
def test_a_broken_file_is_one_sentence(tmp_path: Path, given: object, said: str) -> None:
    with pytest.raises(RequestError) as error:
        opened(tmp_path, given)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_a_file_that_is_far_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_MOST_BYTES", 100)
    with pytest.raises(RequestError, match="far more than a tokenizer takes"):
        opened(tmp_path, content())


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_damaged_file_is_refused_or_read(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole = json.dumps(content())
    start = data.draw(st.integers(0, len(whole) - 1))
    damaged = (
        whole[:start]
        + data.draw(st.text('{}[],:"0a-', max_size=3))
        + whole[start + data.draw(st.integers(0, 9)) :]
    )
    try:
        assert opened(tmp_path_factory.mktemp("damaged"), damaged)
    except RequestError as error:
        assert "\n" not in str(error)


def test_a_folder_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(Recipe(method="byte", vocab_size=300), Corpus(lambda: [TEXT]))
    write_tokenizer(tokenizer, tmp_path / "it")
    with pytest.raises(RequestError, match="is there already; give a folder that is not"):
        write_tokenizer(tokenizer, tmp_path / "it")
