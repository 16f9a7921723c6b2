"""Links in a folder lead to its own files, or a checkpoint in a hub's cache to its blobs."""

from pathlib import Path

import pytest

from paribus.families.files.folder import open_folder

from .checkpoints import refusal


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret.json"
    path.write_text('{"password": "1234"}')
    return path


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "model.safetensors.index.json"])
def test_a_link_out_of_the_folder_is_refused(folder: Path, secret: Path, name: str) -> None:
    if name.endswith("index.json"):
        (folder / "model.safetensors").unlink()
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(secret)
    assert f"{folder} holds '{name}', a link out of the folder to {secret}" in refusal(open_folder, folder)


def test_a_folder_behind_a_link_is_read(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    assert open_folder(tmp_path / "link").has_weights


@pytest.fixture
def cached(tmp_path: Path, folder: Path) -> Path:
    """The same checkpoint as a hub's cache keeps it."""
    model = tmp_path / "hub" / "models--org--name"
    snapshot = model / "snapshots" / "0123abcd"
    snapshot.mkdir(parents=True)
    (model / "blobs").mkdir()
    for number, file in enumerate(sorted(folder.iterdir())):
        (model / "blobs" / f"{number:064}").write_bytes(file.read_bytes())
        (snapshot / file.name).symlink_to(f"../../blobs/{number:064}")
    return snapshot


def test_a_snapshot_in_a_hubs_cache_is_read(cached: Path) -> None:
    opened = open_folder(cached)
    assert (opened.config, len(opened.tensors)) == ({"hidden_size": 3}, 2)
    assert opened.tensor("model.norm.weight").tolist() == [1, 1, 1]


def test_the_model_in_a_hubs_cache_leads_to_its_snapshot(cached: Path) -> None:
    assert f"give {cached}" in refusal(open_folder, cached.parent.parent)
