"""An index and its shards say the same, or are refused in one sentence."""

import json
from pathlib import Path
from typing import Any

import pytest

from paribus.families.files.folder import open_folder
from paribus.families.files.index import read_index

from .checkpoints import entry, file_of, refusal, write_shards


def _index(folder: Path, content: Any) -> Path:
    path = folder / "model.safetensors.index.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def _shards(folder: Path, count: int) -> Path:
    names = [f"model-{number:05}-of-{count:05}.safetensors" for number in range(1, count + 1)]
    return write_shards(folder, {name: {f"layers.{place}": entry()} for place, name in enumerate(names)})


def test_shards_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    write_shards(tmp_path, {"2.safetensors": {"a": entry()}, "1.safetensors": {"b": entry()}})
    index = read_index(tmp_path / "model.safetensors.index.json")
    assert [shard.name for shard in index.shards] == ["1.safetensors", "2.safetensors"]
    assert index.shard_of == {"a": tmp_path / "2.safetensors", "b": tmp_path / "1.safetensors"}


@pytest.mark.parametrize(
    ("metadata", "size"),
    [
        ({"total_size": 8}, 8),
        ({"total_size": 8.0}, 8),
        ({}, None),
        (None, None),
        ({"total_size": "8"}, None),
        ([], None),
    ],
)
def test_the_total_size_is_read_where_it_is_a_number(tmp_path: Path, metadata: Any, size: int | None) -> None:
    write_shards(tmp_path, {"1.safetensors": {"a": entry()}}, metadata=metadata)
    assert read_index(tmp_path / "model.safetensors.index.json").total_size == size


@pytest.mark.parametrize("size", [-1, 1e300, float("nan"), float("inf")])
def test_an_impossible_total_size_is_none(tmp_path: Path, size: float) -> None:
    write_shards(tmp_path, {"1.safetensors": {"a": entry()}}, metadata={"total_size": size})
    assert read_index(tmp_path / "model.safetensors.index.json").total_size is None


@pytest.mark.parametrize("content", [{}, {"weight_map": {}}, {"weight_map": ["a"]}, {"weight_map": None}])
def test_an_index_without_a_weight_map_is_refused(tmp_path: Path, content: Any) -> None:
    said = refusal(read_index, _index(tmp_path, content))
    assert str(tmp_path) in said and "has no weight_map" in said


def test_an_index_that_is_no_json_is_refused(tmp_path: Path) -> None:
    assert "index.json breaks off in the middle" in refusal(
        read_index, _index(tmp_path, '{"weight_map": {"a": "1.safe')
    )


def test_a_tensor_placed_twice_is_refused(tmp_path: Path) -> None:
    assert "gives the key 'a' twice" in refusal(
        read_index, _index(tmp_path, '{"weight_map": {"a": "1.safetensors", "a": "2.safetensors"}}')
    )


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "", 1, None, ["1.safetensors"], {"a": "b"}, "x" * 100_000]
)
def test_a_tensor_placed_in_anything_but_a_safetensors_file_is_refused(tmp_path: Path, name: Any) -> None:
    said = refusal(read_index, _index(tmp_path, {"weight_map": {"a": name}}))
    assert "places the tensor 'a' in" in said and "only files that end in .safetensors are read" in said


@pytest.mark.parametrize(
    "name", ["/etc/x.safetensors", "../x.safetensors", "a/../../x.safetensors", "..\\x.safetensors"]
)
def test_a_shard_outside_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    said = refusal(read_index, _index(tmp_path, {"weight_map": {"a": name}}))
    assert "index.json names" in said and "which is not the name of a file in its folder" in said


def test_a_shard_behind_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    outside = tmp_path / "outside.safetensors"
    outside.write_bytes(file_of({"a": entry()}, bytes(4)))
    folder = _shards(tmp_path / "folder", 2)
    (folder / "model-00001-of-00002.safetensors").unlink()
    (folder / "model-00001-of-00002.safetensors").symlink_to(outside)
    assert "names 'model-00001-of-00002.safetensors', a link out of the folder" in refusal(
        open_folder, folder
    )


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    (_shards(tmp_path, 3) / "model-00002-of-00003.safetensors").unlink()
    assert f"1 of 3 shards is missing in {tmp_path}: model-00002-of-00003.safetensors; fetch them" in refusal(
        open_folder, tmp_path
    )


def test_missing_shards_are_counted_and_named(tmp_path: Path) -> None:
    for number in (7, 19):
        (_shards(tmp_path, 30) if number == 7 else tmp_path).joinpath(
            f"model-{number:05}-of-00030.safetensors"
        ).unlink()
    said = refusal(open_folder, tmp_path)
    assert (
        "2 of 30 shards are missing" in said
        and "model-00007-of-00030.safetensors, model-00019-of-00030.safetensors;" in said
    )


def test_many_missing_shards_are_not_all_named(tmp_path: Path) -> None:
    for shard in _shards(tmp_path, 30).glob("*.safetensors"):
        shard.unlink()
    said = refusal(open_folder, tmp_path)
    assert "30 of 30 shards are missing" in said and "model-00005-of-00030.safetensors and 25 more;" in said


def test_a_link_to_a_shard_that_was_not_fetched_is_a_missing_shard(tmp_path: Path) -> None:
    shard = _shards(tmp_path, 2) / "model-00001-of-00002.safetensors"
    shard.unlink()
    shard.symlink_to("not-here")
    assert "1 of 2 shards is missing" in refusal(open_folder, tmp_path)


def test_a_tensor_that_its_shard_does_not_have_is_named(tmp_path: Path) -> None:
    write_shards(tmp_path, {"1.safetensors": {"a": entry()}, "2.safetensors": {"b": entry()}})
    _index(tmp_path, {"weight_map": {"a": "1.safetensors", "b": "2.safetensors", "c": "1.safetensors"}})
    assert "index.json names the tensor 'c' that 1.safetensors does not have" in refusal(
        lambda: open_folder(tmp_path).tensors
    )


def test_a_tensor_that_the_index_does_not_name_is_named(tmp_path: Path) -> None:
    write_shards(tmp_path, {"1.safetensors": {"a": entry(), "z": entry("U8", [0], [4, 4])}})
    _index(tmp_path, {"weight_map": {"a": "1.safetensors"}})
    said = refusal(lambda: open_folder(tmp_path).tensors)
    assert "1.safetensors holds the tensor 'z' that" in said and "index.json does not place there" in said


def test_a_tensor_in_another_shard_than_the_index_says_is_named(tmp_path: Path) -> None:
    write_shards(tmp_path, {"1.safetensors": {"a": entry()}, "2.safetensors": {"b": entry()}})
    _index(tmp_path, {"weight_map": {"a": "2.safetensors", "b": "1.safetensors"}})
    said = refusal(lambda: open_folder(tmp_path).tensors)
    assert "1.safetensors holds the tensor 'a' that" in said and "does not place there" in said


def test_a_tensor_in_two_shards_is_named_with_both(tmp_path: Path) -> None:
    write_shards(tmp_path, {"1.safetensors": {"a": entry()}, "2.safetensors": {"b": entry()}})
    both = {"b": entry(), "a": entry(data_offsets=[4, 8])}
    (tmp_path / "2.safetensors").write_bytes(file_of(both, bytes(8)))
    assert "the tensor 'a' lies in two shards, 1.safetensors and 2.safetensors" in refusal(
        lambda: open_folder(tmp_path).tensors
    )
