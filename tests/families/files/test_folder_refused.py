"""One sentence for each path that holds no checkpoint that can be read, with the way on."""

import os
from pathlib import Path

import pytest

from paribus.families.files.folder import open_folder

from .checkpoints import entry, file_of, refusal, without_weights, write_shards

# Paths that lead to no checkpoint.


def test_an_empty_path_is_refused() -> None:
    assert "the path of the checkpoint is empty" in refusal(open_folder, "")


@pytest.mark.parametrize("path", ["/missing/folder", "./missing", "a/b/c", "a\nb", "a\0b", "x" * 5_000])
def test_a_path_that_does_not_exist_is_refused(
    path: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "there is no file" in refusal(open_folder, path)


@pytest.mark.parametrize("name", ["meta-llama/Llama-3.1-8B", "gpt2"])
def test_the_name_of_a_model_on_the_hub_is_not_downloaded(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    said = refusal(open_folder, name)
    assert (
        f"no file or folder {name}, and nothing is downloaded" in said
        and f"`hf download {name} --local-dir " in said
    )


def test_a_missing_file_is_not_taken_for_a_model_on_the_hub(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="^there is no file or folder llama/config.json$"):
        open_folder("llama/config.json")


def test_a_pipe_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "pipe is neither a file nor a folder" in refusal(open_folder, tmp_path / "pipe")


def test_a_device_in_place_of_the_folder_is_refused() -> None:
    assert "/dev/zero is neither a file nor a folder" in refusal(open_folder, "/dev/zero")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_pipe_in_the_folder_is_refused_without_waiting(folder: Path, name: str) -> None:
    (folder / name).unlink()
    os.mkfifo(folder / name)
    assert f"{name} is not a file but a pipe" in refusal(lambda: open_folder(folder).tensors)


def test_a_folder_closed_to_us_is_refused(as_nobody: Path) -> None:
    (as_nobody / "llama").mkdir(mode=0)
    assert "llama cannot be read: permission denied" in refusal(open_folder, as_nobody / "llama")


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    assert f"{tmp_path} is empty: a folder with a config.json is expected" in refusal(open_folder, tmp_path)


def test_a_folder_without_a_config_is_refused(folder: Path) -> None:
    (folder / "config.json").unlink()
    assert f"{folder} has no config.json" in refusal(open_folder, folder)


def test_an_adapter_is_not_taken_for_a_model(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / "adapter_model.safetensors").write_bytes(file_of(b"{}"))
    assert "holds an adapter and no model" in refusal(open_folder, tmp_path)


def test_a_file_without_a_config_is_refused(folder: Path) -> None:
    (folder / "config.json").unlink()
    assert f"{folder}/model.safetensors stands beside no config.json" in refusal(
        open_folder, folder / "model.safetensors"
    )


def test_weights_under_another_name_are_offered(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "consolidated.safetensors")
    said = refusal(open_folder, folder)
    assert (
        f"{folder} has neither model.safetensors nor" in said
        and "but consolidated.safetensors: give the path" in said
    )


def test_one_shard_is_not_taken_for_the_model(tmp_path: Path) -> None:
    write_shards(tmp_path, {"1.safetensors": {"a": entry()}, "2.safetensors": {"b": entry()}})
    assert f"1.safetensors is one of 2 shards: give the folder, {tmp_path}" in refusal(
        open_folder, tmp_path / "1.safetensors"
    )


def test_the_index_is_not_taken_for_the_config(tmp_path: Path) -> None:
    write_shards(tmp_path, {"1.safetensors": {"a": entry()}})
    assert f"is the index of a checkpoint: give its folder, {tmp_path}" in refusal(
        open_folder, tmp_path / "model.safetensors.index.json"
    )


def test_any_other_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    assert "notes.txt is not a checkpoint: give a folder, its config.json or a .safetensors file" in refusal(
        open_folder, tmp_path / "notes.txt"
    )


# Other formats.


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.gguf", "tf_model.h5", "flax_model.msgpack"])
def test_a_folder_with_weights_in_another_format_is_refused(tmp_path: Path, name: str) -> None:
    said = refusal(open_folder, without_weights(tmp_path, name))
    assert f"{tmp_path}/{name} is a" in said and "safe" in said


@pytest.mark.parametrize("name", ["model.pth", "model.gguf"])
def test_a_file_in_another_format_is_refused(tmp_path: Path, name: str) -> None:
    said = refusal(open_folder, without_weights(tmp_path, name) / name)
    assert f"{tmp_path}/{name} is a" in said and "safetensors" in said


def test_another_format_is_named_before_the_missing_config(tmp_path: Path) -> None:
    (tmp_path / "llama.gguf").touch()
    assert "llama.gguf is a GGUF file" in refusal(open_folder, tmp_path)


def test_pickles_beside_safetensors_are_left_alone(folder: Path) -> None:
    without_weights(folder, "pytorch_model.bin", "model.gguf")
    assert open_folder(folder).has_weights


def test_safetensors_of_another_name_go_before_pickles(folder: Path) -> None:
    (without_weights(folder, "pytorch_model.bin") / "model.safetensors").rename(folder / "other.safetensors")
    assert "but other.safetensors: give the path" in refusal(open_folder, folder)


def test_a_config_beside_pickles_may_be_given_alone(tmp_path: Path) -> None:
    assert not open_folder(without_weights(tmp_path, "pytorch_model.bin") / "config.json").has_weights


def test_pickles_of_a_trainer_are_no_weights(tmp_path: Path) -> None:
    assert not open_folder(
        without_weights(tmp_path, "training_args.bin", "optimizer.pt", "rng_state_0.pth")
    ).has_weights
