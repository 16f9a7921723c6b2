"""Only a file is opened, and what is none is named."""

import os
from pathlib import Path

import pytest

from paribus.files.opening import bytes_of, opened, size_of
from tests.families.files.checkpoints import refusal


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"123")
    with opened(path) as file:
        assert (size_of(file), file.read()) == (3, b"123")


def test_a_link_to_a_file_is_followed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"123")
    (tmp_path / "b").symlink_to("a")
    with opened(tmp_path / "b") as file:
        assert file.read() == b"123"


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert f"{tmp_path} is a folder where a file is expected" in refusal(opened(tmp_path).__enter__)


def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "pipe is not a file but a pipe, a socket or a device" in refusal(
        opened(tmp_path / "pipe").__enter__
    )


def test_a_device_is_refused() -> None:
    assert "/dev/zero is not a file but a pipe, a socket or a device" in refusal(
        opened(Path("/dev/zero")).__enter__
    )


@pytest.mark.parametrize("name", ["missing", "a\0b", "x" * 5_000, "file/below"])
def test_what_is_not_there_is_said_to_be_missing(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    assert "there is no file" in refusal(opened(tmp_path / name).__enter__)


def test_a_link_to_itself_is_missing(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    assert "there is no file" in refusal(opened(tmp_path / "loop").__enter__)


def test_a_file_closed_to_us_is_refused(as_nobody: Path) -> None:
    (as_nobody / "a").touch(mode=0)
    assert "a cannot be read: permission denied" in refusal(opened(as_nobody / "a").__enter__)


def test_a_file_of_as_many_bytes_as_allowed_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"123")
    assert bytes_of(tmp_path / "a", "a number", at_most=3) == b"123"


def test_a_larger_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1234")
    assert f"{tmp_path}/a has 4 bytes: a number of at most 3 is read" in refusal(
        bytes_of, tmp_path / "a", "a number", at_most=3
    )
