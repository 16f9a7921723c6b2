"""A folder appears whole or not at all."""

import os
from pathlib import Path

import pytest

from paribus.errors import RequestError
from paribus.text.data.building import building_folder, publish


def test_the_workplace_is_gone_after_success_and_after_failure(tmp_path: Path) -> None:
    with building_folder(tmp_path / "new", key="a") as folder:
        (folder / "file").touch()
    with pytest.raises(KeyboardInterrupt), building_folder(tmp_path / "new", key="a") as folder:
        (folder / "file").touch()
        raise KeyboardInterrupt
    assert list((tmp_path / "new").iterdir()) == []


def test_the_workplace_of_a_living_build_is_left_alone_and_that_of_a_dead_one_swept_up(
    tmp_path: Path,
) -> None:
    dead = tmp_path / ".building-dead"
    dead.mkdir()
    (dead / "file").touch()
    with building_folder(tmp_path, key="a") as first, building_folder(tmp_path, key="a") as second:
        assert first.is_dir() and second.is_dir() and first != second
        assert not dead.exists()


def result_in(folder: Path, content: str) -> Path:
    result = folder / "result"
    result.mkdir()
    (result / "file").write_text(content)
    return result


def good(folder: Path) -> bool:
    return (folder / "file").read_text() != "broken"


@pytest.mark.parametrize(("there", "left"), [(None, "new"), ("old", "old"), ("broken", "new")])
def test_a_good_result_there_stays_and_a_broken_one_is_replaced(
    tmp_path: Path, there: str | None, left: str
) -> None:
    target = tmp_path / "target"
    if there is not None:
        target.mkdir()
        (target / "file").write_text(there)
    with building_folder(tmp_path, key="a") as folder:
        publish(result_in(folder, "new"), target, is_good=good)
    assert (target / "file").read_text() == left


def test_a_folder_that_cannot_be_written_is_refused(as_nobody: Path) -> None:
    closed = as_nobody / "closed"
    closed.mkdir(mode=0o500)
    with pytest.raises(RequestError, match="closed.*PARIBUS_CACHE"), building_folder(closed, key="a"):
        pass
    assert os.listdir(closed) == []
