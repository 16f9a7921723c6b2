"""A file of a dataset says what it is, and one that is not what it should be is refused in one sentence."""

import hashlib
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from paribus.errors import RequestError, WorkError
from paribus.text.data import Dataset, load_dataset
from paribus.text.data.dataset import check_dataset

from .conftest import Prepare, assert_sentence


@pytest.fixture
def dataset(folder_of: Callable[..., Path], texts: list[str], prepared: Prepare) -> Dataset:
    return prepared(folder_of(texts), shard_tokens=4000)


def test_a_header_has_the_documented_bytes(dataset: Dataset) -> None:
    raw = (dataset.folder / "train-00001.bin").read_bytes()
    assert raw[:8] == b"PARIBUS\n"
    version, kind, split, width = struct.unpack("<4H", raw[8:16])
    assert (version, kind, split, width) == (1, 0, 0, 2)
    first, items = struct.unpack("<2Q", raw[16:32])
    assert (first, items) == (4000, dataset.train.shards[1])
    assert raw[32:64].hex() == dataset.sha256
    assert raw[64:96] == hashlib.sha256(b"bytes").digest()
    assert raw[96:120] == bytes(24)
    assert struct.unpack("<2I", raw[120:128]) == (zlib.crc32(raw[128:]), zlib.crc32(raw[:124]))
    assert len(raw) == 128 + width * items
    groups = (dataset.folder / "heldout-groups.bin").read_bytes()
    assert struct.unpack("<4H", groups[8:16]) == (1, 2, 1, 8)


def changed(path: Path, at: int, to: bytes, *, sealed: bool) -> None:
    """Overwrite bytes; with `sealed`, make the header's own checksum right again."""
    raw = bytearray(path.read_bytes())
    raw[at : at + len(to)] = to
    if sealed:
        raw[124:128] = struct.pack("<I", zlib.crc32(raw[:124]))
    path.write_bytes(raw)


@pytest.mark.parametrize(
    ("at", "to", "sealed", "says"),
    [
        (0, b"\x93NUMPY", True, "no file of a prepared dataset"),
        (8, b"\x07", True, "version 7 of the format and this Paribus reads 1"),
        (10, b"\x01", True, "holds documents 0 to 4,000 of train"),
        (12, b"\x01", True, "0 to 4,000 of heldout"),
        (12, b"\x09", True, "of kind 9"),
        (14, b"\x04", True, "in 4 bytes each"),
        (16, b"\x01", True, "tokens 1 to 4,001"),
        (40, b"other", True, "belongs to another dataset"),
        (70, b"other", True, "made by another tokenizer"),
        (100, b"x", False, "a damaged header"),
    ],
)
def test_another_header_is_refused(dataset: Dataset, at: int, to: bytes, sealed: bool, says: str) -> None:
    changed(dataset.folder / "train-00000.bin", at, to, sealed=sealed)
    with pytest.raises(RequestError) as refusal:
        load_dataset(dataset.folder)
    assert_sentence(refusal, "train-00000.bin", says, "prepare the source again")


@pytest.mark.parametrize(("size", "says"), [(0, "no file of a"), (60, "cut off in its header"), (500, "500")])
def test_a_cut_shard_is_refused(dataset: Dataset, size: int, says: str) -> None:
    path = dataset.folder / "train-00000.bin"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(RequestError) as refusal:
        load_dataset(dataset.folder)
    assert_sentence(refusal, "train-00000.bin", says)


def test_two_shards_of_one_size_that_changed_places_are_refused(dataset: Dataset) -> None:
    one, other = dataset.folder / "train-00000.bin", dataset.folder / "train-00001.bin"
    assert one.stat().st_size == other.stat().st_size
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)
    with pytest.raises(RequestError) as refusal:
        load_dataset(dataset.folder)
    assert_sentence(refusal, "renamed or swapped")


@pytest.mark.parametrize("name", ["train-00001.bin", "heldout-documents.bin", "train-groups.bin"])
def test_the_check_finds_one_changed_bit(dataset: Dataset, name: str) -> None:
    path, calls = dataset.folder / name, []
    sizes = [each.stat().st_size - 128 for each in dataset.folder.glob("*.bin")]
    assert check_dataset(dataset, progress=lambda *call: calls.append(call)) == sum(sizes)
    assert calls[0] == (0, sum(sizes)) and calls[-1] == (sum(sizes), sum(sizes))
    changed(path, path.stat().st_size - 1, b"\x01", sealed=False)
    load_dataset(dataset.folder)  # opening reads no numbers
    with pytest.raises(WorkError) as failure:
        check_dataset(dataset, progress=lambda done, total: None)
    assert_sentence(
        failure, name, "was changed after it was written", "delete it and prepare the source again"
    )
