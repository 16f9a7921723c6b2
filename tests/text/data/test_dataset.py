"""A prepared folder opens as what was prepared, or says that it is not whole."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from paribus.text.data import Dataset, load_dataset

from .conftest import Prepare, Refused


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
    assert names == {"meta.json", "train-00000.bin", "heldout-00000.bin"}


def test_a_folder_that_is_no_dataset_is_refused(tmp_path: Path, refused: Refused) -> None:
    with refused(str(tmp_path), "not a whole prepared dataset", "prepare the source again"):
        load_dataset(tmp_path)


@pytest.mark.parametrize("damage", ["shorter", "longer", "gone"])
def test_a_shard_of_the_wrong_size_is_refused(dataset: Dataset, refused: Refused, damage: str) -> None:
    shard = dataset.folder / "heldout-00000.bin"
    if damage == "gone":
        shard.unlink()
    else:
        shard.write_bytes(shard.read_bytes()[:-2] if damage == "shorter" else shard.read_bytes() + b"ab")
    with refused("heldout-00000.bin"):
        load_dataset(dataset.folder)


@pytest.mark.parametrize(
    "wrong", ["", "[]", "{}", "nonsense", "[" * 100_000, {"format": 99}, {"dtype": "<f8"}]
)
def test_a_damaged_description_is_refused(
    dataset: Dataset, refused: Refused, wrong: str | dict[str, object]
) -> None:
    path = dataset.folder / "meta.json"
    path.write_text(wrong if isinstance(wrong, str) else json.dumps(json.loads(path.read_text()) | wrong))
    with refused("not a whole prepared dataset"):
        load_dataset(dataset.folder)
