"""A prepared folder opens as what was prepared, or says that it is not whole."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from paribus.errors import RequestError
from paribus.text.data import Dataset, load_dataset

from .conftest import Prepare, assert_sentence


@pytest.fixture
def dataset(folder_of: Callable[..., Path], texts: list[str], prepared: Prepare) -> Dataset:
    return prepared(folder_of(texts))


def test_a_worker_opens_the_same_dataset(dataset: Dataset) -> None:
    opened = load_dataset(dataset.folder)
    assert opened == dataset
    everything = dataset.train.num_tokens
    assert opened.train.read(0, everything).tolist() == dataset.train.read(0, everything).tolist()


def test_the_folder_is_named_by_the_content_and_holds_nothing_else(dataset: Dataset) -> None:
    assert dataset.folder.name == dataset.sha256
    names = {path.name for path in dataset.folder.iterdir()}
    files = {
        f"{split}-{what}.bin" for split in ("train", "heldout") for what in ("00000", "documents", "groups")
    }
    assert names == {"meta.json"} | files


def test_a_folder_that_is_no_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError) as refusal:
        load_dataset(tmp_path)
    assert_sentence(refusal, str(tmp_path), "not a whole prepared dataset", "prepare the source again")


@pytest.mark.parametrize("name", ["heldout-00000.bin", "heldout-documents.bin", "heldout-groups.bin"])
@pytest.mark.parametrize("damage", ["shorter", "longer", "gone"])
def test_a_file_of_the_wrong_size_is_refused(dataset: Dataset, name: str, damage: str) -> None:
    shard = dataset.folder / name
    if damage == "gone":
        shard.unlink()
    else:
        shard.write_bytes(shard.read_bytes()[:-2] if damage == "shorter" else shard.read_bytes() + b"ab")
    with pytest.raises(RequestError) as refusal:
        load_dataset(dataset.folder)
    assert_sentence(refusal, name)


@pytest.mark.parametrize(
    "wrong", ["", "[]", "{}", "nonsense", "[" * 100_000, {"format": 1}, {"format": 99}, {"dtype": "<f8"}]
)
def test_a_damaged_description_is_refused(dataset: Dataset, wrong: str | dict[str, object]) -> None:
    path = dataset.folder / "meta.json"
    path.write_text(wrong if isinstance(wrong, str) else json.dumps(json.loads(path.read_text()) | wrong))
    with pytest.raises(RequestError) as refusal:
        load_dataset(dataset.folder)
    assert_sentence(refusal, "not a whole prepared dataset")
