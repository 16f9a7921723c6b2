"""Files appear whole or not at all, and what is no file is written to and never replaced."""

import os
import threading
from pathlib import Path

import pytest

from paribus.files.appearing import appearing


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("old")
    with appearing(path) as draft:
        draft.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


def test_nothing_is_left_of_a_file_that_failed(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    with pytest.raises(KeyError), appearing(path) as draft:
        draft.write_text("half")
        raise KeyError
    assert not list(tmp_path.iterdir())


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    link = tmp_path / "link"
    (tmp_path / "there").mkdir()
    link.symlink_to(tmp_path / "there" / "file")
    for content in ("one", "two"):
        with appearing(link) as draft:
            draft.write_text(content)
        assert link.is_symlink() and (tmp_path / "there" / "file").read_text() == content


def test_a_pipe_is_written_to_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    with appearing(pipe) as draft:
        draft.write_text("all of it")
    reader.join(10)
    assert read == ["all of it"] and pipe.is_fifo()


def test_a_device_is_written_to_as_it_is() -> None:
    with appearing(Path("/dev/null")) as draft:
        assert draft == Path("/dev/null")
    assert Path("/dev/null").is_char_device()
