"""A prepared folder of the user's: made once, kept apart from all else, and taken wherever text is."""

import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paribus.errors import RequestError
from paribus.text.data import Dataset, load_dataset
from paribus.text.data.build import Recipe
from paribus.text.data.preparing import prepare_folder
from paribus.text.tokenizers import ByteTokenizer

from .conftest import Prepare, assert_sentence

Make = Callable[..., tuple[Dataset, bool]]


@pytest.fixture
def source(folder_of: Callable[..., Path], texts: list[str]) -> Path:
    return folder_of(texts)


@pytest.fixture
def made(source: Path, tmp_path: Path) -> Make:
    def make(source: object = source, out: Path = tmp_path / "out", **options: Any) -> tuple[Dataset, bool]:
        return prepare_folder(str(source), out, Recipe(tokenizer=ByteTokenizer(), **options))

    return make


def test_the_folder_holds_the_dataset_and_nothing_else(made: Make, prepared: Prepare, source: Path) -> None:
    dataset, earlier = made()
    assert not earlier
    cached = prepared(source)
    assert dataset.sha256 == cached.sha256
    names = {path.name for path in dataset.folder.iterdir()}
    assert names == {path.name for path in cached.folder.iterdir()} | {"request.json"}


def test_the_same_again_is_found_and_not_read(made: Make, source: Path) -> None:
    first, _ = made()
    calls: list[tuple[int, int]] = []
    assert made(workers=2, progress=lambda *call: calls.append(call)) == (first, True)
    assert calls == []


def test_a_damaged_folder_is_made_again(made: Make) -> None:
    first, _ = made()
    (first.folder / "train-00000.bin").write_bytes(b"")
    again, earlier = made()
    assert not earlier
    assert again == first == load_dataset(first.folder)


@pytest.mark.parametrize("there", ["file", "thesis.tex", "another dataset", "shard without description"])
def test_what_is_there_is_never_written_over(made: Make, tmp_path: Path, there: str) -> None:
    out = tmp_path / "out"
    if there == "file":
        out.write_text("mine")
    elif there == "another dataset":
        made(held_out=0.3)
    else:
        out.mkdir()
        (out / (there if "." in there else "train-00000.bin")).write_text("mine")
    before = out.read_text() if out.is_file() else {path: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(RequestError) as refusal:
        made()
    assert_sentence(refusal, "out", "give a")
    assert before == (
        out.read_text() if out.is_file() else {path: path.read_bytes() for path in out.iterdir()}
    )


def test_a_prepared_folder_is_taken_as_a_source(made: Make, prepared: Prepare, source: Path) -> None:
    dataset, _ = made()
    assert prepared(dataset.folder) == dataset


def test_a_prepared_folder_of_another_tokenizer_is_refused_with_its_own(
    made: Make, prepared: Prepare
) -> None:
    class Other(ByteTokenizer):
        name = "other"

    dataset, _ = made()
    with pytest.raises(RequestError) as refusal:
        prepared(dataset.folder, tokenizer=Other())
    assert_sentence(refusal, "with the tokenizer 'bytes' and not with 'other'", "--tokenizer bytes")


def test_a_prepared_folder_that_is_broken_is_not_read_as_text(made: Make, prepared: Prepare) -> None:
    dataset, _ = made()
    (dataset.folder / "train-groups.bin").unlink()
    with pytest.raises(RequestError) as refusal:
        prepared(dataset.folder)
    assert_sentence(refusal, "train-groups.bin", "not a whole prepared dataset")


def test_what_is_prepared_is_not_prepared_again(made: Make, tmp_path: Path) -> None:
    dataset, _ = made()
    with pytest.raises(RequestError) as refusal:
        made(source=dataset.folder, out=tmp_path / "other")
    assert_sentence(refusal, "is prepared already")


def test_a_folder_inside_its_source_is_not_part_of_it(made: Make, source: Path) -> None:
    first, _ = made(out=source / "prepared")
    assert made(out=source / "prepared") == (first, True)


def test_a_closed_folder_is_refused(as_nobody: Path) -> None:
    (as_nobody / "a.txt").write_text("text\n\n" * 3000)
    (as_nobody / "closed").mkdir(mode=0o500)
    with pytest.raises(RequestError) as refusal:
        prepare_folder(as_nobody / "a.txt", as_nobody / "closed", Recipe(tokenizer=ByteTokenizer()))
    assert_sentence(refusal, "closed", "cannot be written", "--out")


def test_without_the_package_a_name_of_a_data_set_is_refused(
    made: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PARIBUS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(RequestError) as refusal:
        made(source="datasets:org/name")
    assert_sentence(refusal, "datasets:org/name", "pip install datasets")


def test_a_data_set_is_fetched_once_and_prepared(
    made: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, texts: list[str]
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    class Rows:
        def to_parquet(self, path: str) -> None:
            pq.write_table(pa.table({"text": texts}), path)

    asked: list[tuple[object, ...]] = []

    def load_dataset(name: str, config: str | None, *, split: str) -> Rows:
        asked.append((name, config, split))
        if name == "nothing":
            raise ConnectionError("no way\nout")
        return Rows()

    monkeypatch.setenv("PARIBUS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(load_dataset=load_dataset))
    dataset, _ = made(source="datasets:org/name:small")
    assert dataset.documents == len(texts)
    assert made(source="datasets:org/name:small") == (dataset, True)
    assert asked == [("org/name", "small", "train")]
    with pytest.raises(RequestError) as refusal:
        made(source="datasets:nothing", out=tmp_path / "other")
    assert_sentence(refusal, "'nothing'", "no way out", "is there a network")
