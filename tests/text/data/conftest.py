"""What the data tests share: small texts, a split made of given tokens, and what every refusal must be."""

import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paribus.errors import ParibusError
from paribus.text.data import Dataset, Split, prepare
from paribus.text.data.headers import Identity
from paribus.text.data.shards import write_documents, write_shards
from paribus.text.tokenizers import ByteTokenizer

Prepare = Callable[..., Dataset]

NOBODY = Identity(bytes(32), bytes(32))


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
    """`split_of(tokens, shard_tokens=..., documents=[(length, group), ...])`: a split on disk of just these tokens."""

    def write(
        tokens: object, shard_tokens: int = 2**20, documents: list[tuple[int, int]] | None = None
    ) -> Split:
        array = np.asarray(tokens)
        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        shards = write_shards(
            folder, "train", [array], dtype="<u4", shard_tokens=shard_tokens, identity=NOBODY
        )
        lengths, groups = np.array(documents or [(len(array), 0)], dtype=np.int64).T
        assert lengths.sum() == len(array)
        write_documents(folder, "train", lengths=lengths, groups=groups, identity=NOBODY)
        return Split(
            name="train",
            folder=folder,
            dtype="<u4",
            shards=shards,
            num_tokens=len(array),
            num_bytes=len(array),
            num_documents=len(lengths),
            num_groups=int(groups.max()) + 1,
        )

    return write


def assert_sentence(caught: pytest.ExceptionInfo[ParibusError], *parts: str) -> None:
    """What was raised says one sentence, on one line and without a full stop, that holds every part."""
    message = str(caught.value)
    assert "\n" not in message
    assert ". " not in message and not message.endswith("."), message
    for part in parts:
        assert part in message
