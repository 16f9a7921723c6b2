"""What a folder of a checkpoint holds: config, tensors, and what its reader is warned of."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from paribus.families.files.folder import Folder, open_folder

from .checkpoints import entry, file_of, refusal, without_weights, write_shards

# What is read.


def test_a_folder_gives_config_and_tensors(folder: Path) -> None:
    opened = open_folder(folder)
    assert (opened.path, opened.config, opened.files) == (
        folder,
        {"hidden_size": 3},
        (folder / "model.safetensors",),
    )
    assert {name: info.shape for name, info in opened.tensors.items()} == {
        "model.norm.weight": (3,),
        "lm_head.weight": (2, 3),
    }
    assert opened.has_weights
    assert opened.metadata == {"format": "pt"}
    assert opened.warnings == []


def test_shards_are_joined_by_their_index(tmp_path: Path) -> None:
    shards = {"model-1.safetensors": {"a": entry()}, "model-2.safetensors": {"b": entry("BF16", [2])}}
    opened = open_folder(write_shards(tmp_path, shards, metadata={"total_size": 8}))
    assert opened.files == (tmp_path / "model-1.safetensors", tmp_path / "model-2.safetensors")
    assert {name: (info.dtype, info.file.name) for name, info in opened.tensors.items()} == {
        "a": ("F32", "model-1.safetensors"),
        "b": ("BF16", "model-2.safetensors"),
    }
    assert opened.warnings == []


def test_headers_are_not_read_before_they_are_asked_for(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"broken")
    opened = open_folder(folder)
    assert "too few for a header" in refusal(lambda: opened.tensors)


def test_one_file_goes_before_an_index_as_in_transformers(folder: Path) -> None:
    (folder / "model.safetensors.index.json").write_text("broken")
    assert len(open_folder(folder).tensors) == 2


def test_a_config_alone_is_a_folderwithout_weights(folder: Path) -> None:
    opened = open_folder(folder / "config.json")
    assert (opened.config, opened.tensors, opened.has_weights) == ({"hidden_size": 3}, {}, False)
    assert (opened.files, opened.metadata, opened.warnings) == ((), {}, [])


def test_a_folder_with_only_a_config_has_no_weights(tmp_path: Path) -> None:
    assert not open_folder(without_weights(tmp_path, "tokenizer.json", "README.md")).has_weights


def test_one_file_beside_a_config_is_read(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "consolidated.safetensors")
    opened = open_folder(folder / "consolidated.safetensors")
    assert (opened.config, len(opened.tensors)) == ({"hidden_size": 3}, 2)


def test_a_home_folder_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    assert open_folder("~/llama").has_weights


def test_where_the_shards_metadata_differ_the_first_ones_word_counts(tmp_path: Path) -> None:
    write_shards(tmp_path, {"1.safetensors": {"a": entry()}, "2.safetensors": {"b": entry()}})
    for number, name in enumerate("ab", start=1):
        header = {"__metadata__": {"by": name, name: ""}, name: entry()}
        (tmp_path / f"{number}.safetensors").write_bytes(file_of(header, bytes(4)))
    assert open_folder(tmp_path).metadata == {"by": "a", "a": "", "b": ""}


def test_opening_and_reading_headers_loads_no_torch(folder: Path) -> None:
    code = (
        "import sys\nfrom paribus.families.files import open_folder\n"
        "print(len(open_folder(sys.argv[1]).tensors), 'torch' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == ["2", "False"]


def test_a_checkpoint_of_70b_is_described_from_a_few_kilobytes(tmp_path: Path) -> None:
    """30 shards as long as real ones, without the disk that they would take: the weights are holes."""
    shards: dict[str, dict[str, object]] = {
        f"model-{number:05}-of-00030.safetensors": {} for number in range(30)
    }
    names = [f"model.layers.{layer}.{part}.weight" for layer in range(80) for part in "qkvogudnm"]
    for number, name in enumerate(names):
        header = shards[f"model-{number * 30 // len(names):05}-of-00030.safetensors"]
        begin = 97_000_000 * 2 * len(header)
        header[name] = entry("BF16", [97_000_000], [begin, begin + 97_000_000 * 2])
    write_index = {name: shard for shard, header in shards.items() for name in header}
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": write_index}))
    for shard, header in shards.items():
        raw = file_of(header)
        (tmp_path / shard).write_bytes(raw)
        os.truncate(tmp_path / shard, len(raw) + 97_000_000 * 2 * len(header))
    tensors = open_folder(tmp_path).tensors
    assert len(tensors) == 720
    assert sum(info.num_elements for info in tensors.values()) == 720 * 97_000_000


# What is warned of.


def test_code_that_came_with_the_checkpoint_is_warned_of(folder: Path) -> None:
    (folder / "config.json").write_text('{"auto_map": {"AutoModel": "mine.Model"}}')
    (warning,) = open_folder(folder).warnings
    assert "mine.Model" in warning


def test_a_total_size_that_is_not_held_is_warned_of(tmp_path: Path) -> None:
    write_shards(tmp_path, {"1.safetensors": {"a": entry()}}, metadata={"total_size": 5_000})
    (warning,) = open_folder(tmp_path).warnings
    assert warning == f"the index of {tmp_path} promises 5,000 bytes and its shards hold 4"


# Tensors.


def test_a_tensor_is_the_one_that_was_saved(folder: Path) -> None:
    saved = torch.arange(12, dtype=torch.bfloat16).view(3, 4)
    save_file({"a": saved, "b": torch.tensor(7.0)}, folder / "model.safetensors")
    opened = open_folder(folder)
    assert torch.equal(opened.tensor("a"), saved)
    assert torch.equal(opened.tensor("b"), torch.tensor(7.0))


def test_tensors_of_one_file_share_its_mapping(folder: Path) -> None:
    opened = open_folder(folder)
    first, again = opened.tensor("lm_head.weight"), opened.tensor("lm_head.weight")
    assert first.data_ptr() == again.data_ptr()


def test_an_unknown_tensor_gets_the_nearest_name(folder: Path) -> None:
    assert f"there is no tensor 'lm_head.wieght' in {folder}: did you mean lm_head.weight?" in refusal(
        lambda: open_folder(folder).tensor("lm_head.wieght")
    )


def test_an_unknown_tensor_like_no_other_is_told_how_many_there_are(folder: Path) -> None:
    assert f"there is no tensor 'zzz' in {folder}: it holds 2 tensors" in refusal(
        lambda: open_folder(folder).tensor("zzz")
    )


def test_a_folderwithout_weights_has_no_tensor(folder: Path) -> None:
    assert "only its config was found, no weights" in refusal(
        lambda: Folder(path=folder, config={}).tensor("a")
    )
