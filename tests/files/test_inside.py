"""A name or a link may lead to a file of the folder, or to the blobs of the same model in a hub's cache."""

from pathlib import Path

import pytest

from paribus.files.inside import inside
from tests.families.files.checkpoints import refusal


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "folder" / "below").mkdir(parents=True)
    return tmp_path / "folder"


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    """A snapshot in a hub's cache that holds two models."""
    for model in ("models--org--name", "models--org--other"):
        (tmp_path / "hub" / model / "blobs").mkdir(parents=True)
        (tmp_path / "hub" / model / "blobs" / "hash").touch()
        (tmp_path / "hub" / model / "refs").mkdir()
        (tmp_path / "hub" / model / "refs" / "main").touch()
    path = tmp_path / "hub" / "models--org--name" / "snapshots" / "revision"
    (path / "below").mkdir(parents=True)
    return path


@pytest.mark.parametrize("name", ["a", "below/a", "..a", "missing/a"])
def test_a_file_of_the_folder_is_allowed(folder: Path, name: str) -> None:
    assert inside(folder, name, begin="x names") == folder / name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "/", "/etc/passwd", "../a", "below/../../a", "below/..", "a\\b", "a\nb", "a\0b"]
)
def test_a_name_that_is_no_plain_name_is_refused(folder: Path, name: str) -> None:
    said = refusal(inside, folder, name, begin="x names")
    assert "x names " in said and "which is not the name of a file in its folder" in said


def test_a_link_within_the_folder_is_allowed(folder: Path) -> None:
    (folder / "below" / "link").symlink_to("../a")
    assert inside(folder, "below/link", begin="x names") == folder / "below" / "link"


@pytest.mark.parametrize("target", ["../a", "/etc/passwd", "../folder2/a", "below/../../a"])
def test_a_link_out_of_the_folder_is_refused(folder: Path, target: str) -> None:
    (folder / "link").symlink_to(target)
    assert "x names 'link', a link out of the folder to" in refusal(inside, folder, "link", begin="x names")


def test_a_file_below_a_link_out_of_the_folder_is_refused(folder: Path) -> None:
    (folder / "link").symlink_to("..")
    assert "x names 'link/a', a link out of the folder to" in refusal(
        inside, folder, "link/a", begin="x names"
    )


def test_a_link_to_a_link_out_of_the_folder_is_refused(folder: Path) -> None:
    (folder / "below" / "second").symlink_to("../../a")
    (folder / "first").symlink_to("below/second")
    assert "x names 'first', a link out of the folder to" in refusal(inside, folder, "first", begin="x names")


def test_a_snapshot_may_link_to_the_blobs_of_its_model(snapshot: Path) -> None:
    (snapshot / "link").symlink_to("../../blobs/hash")
    assert inside(snapshot, "link", begin="x names") == snapshot / "link"


def test_a_folder_in_a_snapshot_may_link_to_the_blobs_of_its_model(snapshot: Path) -> None:
    (snapshot / "below" / "link").symlink_to("../../../blobs/hash")
    assert inside(snapshot / "below", "link", begin="x names") == snapshot / "below" / "link"


@pytest.mark.parametrize(
    "target",
    [
        "../../refs/main",
        "../../../models--org--other/blobs/hash",
        "../../blobs/below/hash",
        "../../blobs",
        "../other/a",
    ],
)
def test_a_snapshot_may_link_to_nothing_else(snapshot: Path, target: str) -> None:
    (snapshot / "link").symlink_to(target)
    assert "x names 'link', a link out of the folder to" in refusal(inside, snapshot, "link", begin="x names")


def test_a_blob_may_not_lead_on_to_elsewhere(snapshot: Path) -> None:
    blob = snapshot.parent.parent / "blobs" / "hash"
    blob.unlink()
    blob.symlink_to("/etc/passwd")
    (snapshot / "link").symlink_to("../../blobs/hash")
    assert "x names 'link', a link out of the folder to" in refusal(inside, snapshot, "link", begin="x names")


@pytest.mark.parametrize("cache", ["name/snapshots/revision", "models--org--name/revisions/revision"])
def test_blobs_of_another_layout_are_outside(tmp_path: Path, cache: str) -> None:
    folder = tmp_path / cache
    folder.mkdir(parents=True)
    (folder / "link").symlink_to("../../blobs/hash")
    assert "x names 'link', a link out of the folder to" in refusal(inside, folder, "link", begin="x names")
