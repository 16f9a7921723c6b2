"""An error of the operating system becomes one sentence of the right kind."""

import errno
import os
from pathlib import Path

import pytest

from paribus.errors import ParibusError, RequestError, WorkError
from paribus.text.data.failures import reading, writing

from .conftest import assert_sentence


@pytest.mark.parametrize(
    ("number", "kind", "part"),
    [
        (errno.EACCES, RequestError, "permission denied"),
        (errno.ENOENT, RequestError, "is gone"),
        (errno.EIO, WorkError, os.strerror(errno.EIO)),
    ],
)
def test_reading_names_the_file(number: int, kind: type[ParibusError], part: str) -> None:
    with pytest.raises(kind) as refusal, reading(Path("a.txt")):
        raise OSError(number, os.strerror(number))
    assert_sentence(refusal, "a.txt", part)


@pytest.mark.parametrize(
    ("number", "kind", "part"),
    [
        (errno.ENOSPC, WorkError, "disk is full"),
        (errno.EDQUOT, WorkError, "disk is full"),
        (errno.EROFS, RequestError, "cannot be written"),
        (errno.EIO, WorkError, os.strerror(errno.EIO)),
    ],
)
def test_writing_names_the_folder(number: int, kind: type[ParibusError], part: str) -> None:
    with pytest.raises(kind) as refusal, writing(Path("cache")):
        raise OSError(number, os.strerror(number))
    assert_sentence(refusal, "cache", part)


def test_a_full_device_is_a_full_disk() -> None:
    with pytest.raises(WorkError) as refusal, writing(Path("/dev")), open("/dev/full", "w") as file:
        file.write("text")
    assert_sentence(refusal, "disk is full")


def test_our_own_errors_pass_unchanged() -> None:
    with pytest.raises(RequestError, match="^mine$"), writing(Path("a")), reading(Path("b")):
        raise RequestError("mine")
