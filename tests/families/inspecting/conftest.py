"""Checkpoints are written once for all tests; a test that changes one copies it first."""

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from .checkpoints import write

Written = Callable[[str], tuple[Path, int]]


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """A family's tiny checkpoint and its number of parameters."""
    folder = tmp_path_factory.mktemp("checkpoints")
    return cache(lambda name: write(name, folder))


@pytest.fixture
def copy_of(written: Written, tmp_path: Path) -> Callable[[str], Path]:
    """A family's tiny checkpoint, to be changed."""
    return lambda name: Path(shutil.copytree(written(name)[0], tmp_path / name))
