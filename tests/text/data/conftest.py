"""What the data tests share: small texts, a split made of given tokens, and the check of a refusal."""

import os
import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paribus.errors import ParibusError, RequestError
from paribus.text.data import Dataset, Split, prepare
from paribus.text.data.shards import write_shards
from paribus.text.tokenizers import ByteTokenizer

Refused = Callable[..., AbstractContextManager[None]]
Prepare = Callable[..., Dataset]


@pytest.fixture
def texts() -> list[str]:
    """40 different documents of 50 to 400 characters, some of several bytes."""
    draw = random.Random(0)
    return [
        f"{number} " + "".join(draw.choices("abc äß世\n", k=draw.randint(50, 400))) for number in range(40)
    ]


@pytest.fixture
def folder_of(tmp_path: Path) -> Callable[..., Path]:
    """`folder_of(texts)`: a folder with one file a text."""

    def write(texts: list[str], name: str = "source") -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for number, text in enumerate(texts):
            (folder / f"{number:03d}.txt").write_bytes(text.encode("utf-8"))
        return folder

    return write


@pytest.fixture
def prepared(tmp_path: Path) -> Prepare:
    """`prepare` with the byte tokenizer and a cache of this test."""

    def run(source: object, **options: Any) -> Dataset:
        defaults: dict[str, Any] = {"tokenizer": ByteTokenizer(), "cache": tmp_path / "cache"}
        return prepare(str(source), **defaults | options)

    return run


@pytest.fixture
def split_of(tmp_path: Path) -> Callable[..., Split]:
    """`split_of(tokens, shard_tokens=...)`: a split on disk that holds just these tokens."""

    def write(tokens: object, shard_tokens: int = 2**20) -> Split:
        array = np.asarray(tokens)
        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        shards = write_shards(folder, "train", [array], dtype="<u4", shard_tokens=shard_tokens)
        return Split(
            name="train",
            folder=folder,
            dtype="<u4",
            shards=shards,
            num_tokens=len(array),
            num_bytes=len(array),
            num_documents=1,
        )

    return write


@pytest.fixture
def refused() -> Refused:
    """`with refused("part", ...)`: the block must raise one sentence that holds every part."""

    @contextmanager
    def check(*parts: str, error: type[ParibusError] = RequestError) -> Iterator[None]:
        with pytest.raises(error) as caught:
            yield
        message = str(caught.value)
        assert "\n" not in message
        assert ". " not in message and not message.endswith("."), message
        for part in parts:
            assert part in message

    return check


@pytest.fixture
def as_nobody(tmp_path: Path) -> Iterator[Path]:
    """A folder open to all, in a process that is not root until the test ends: root may read anything.

    `tmp_path` is asked for only to be made before: afterwards its parent is closed to us.
    """
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o777)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)
        try:
            yield Path(name)
        finally:
            if root:
                os.seteuid(0)
