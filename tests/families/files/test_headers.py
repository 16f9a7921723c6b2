"""A header that contradicts itself, the format or its file is refused; any other is read as the format's reader does."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from paribus.families.files.dtypes import DTYPES
from paribus.families.files.headers import MAX_HEADER_BYTES, read_header

from .checkpoints import entry, file_of, peak_growth, refusal

READER = "from pathlib import Path\nfrom paribus.families.files.headers import read_header"
REFUSED = "try: read_header(Path(sys.argv[1]))\nexcept ValueError: pass\nelse: 1 / 0"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


def _refused(path: Path, raw: bytes) -> str:
    """What is said of a file of these bytes."""
    path.write_bytes(raw)
    return refusal(read_header, path)


# What is read.


def test_a_file_of_the_formats_own_writer_is_described(path: Path) -> None:
    saved = {"a.weight": torch.zeros(3, 5), "b": torch.zeros(7, dtype=torch.bfloat16), "c": torch.zeros(0, 2)}
    save_file(saved, path, metadata={"format": "pt"})
    header = read_header(path)
    assert header.metadata == {"format": "pt"}
    assert {name: (info.dtype, info.shape) for name, info in header.tensors.items()} == {
        "a.weight": ("F32", (3, 5)),
        "b": ("BF16", (7,)),
        "c": ("F32", (0, 2)),
    }
    weight = header.tensors["a.weight"]
    assert (weight.name, weight.file, weight.num_elements, weight.num_bytes) == ("a.weight", path, 15, 60)


def test_start_and_end_are_counted_from_the_files_beginning(path: Path) -> None:
    save_file({"a": torch.arange(6, dtype=torch.int16), "b": torch.tensor([9], dtype=torch.uint8)}, path)
    info = read_header(path).tensors["a"]
    assert path.read_bytes()[info.start : info.end] == bytes([0, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0])


def test_a_file_without_tensors_is_read(path: Path) -> None:
    path.write_bytes(file_of(b"{}"))
    header = read_header(path)
    assert (header.tensors, header.metadata) == ({}, {})


def test_tensors_keep_the_headers_order_and_may_lie_in_another(path: Path) -> None:
    path.write_bytes(file_of({"b": entry(data_offsets=[4, 8]), "a": entry(data_offsets=[0, 4])}, bytes(8)))
    assert list(read_header(path).tensors) == ["b", "a"]


def test_a_scalar_has_one_element(path: Path) -> None:
    path.write_bytes(file_of({"a": entry(shape=[])}, bytes(4)))
    assert read_header(path).tensors["a"].num_elements == 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_eight_numbers_of_any_dtype_take_as_many_bytes_as_bits(path: Path, dtype: str) -> None:
    bits = DTYPES[dtype].bits
    path.write_bytes(file_of({"a": entry(dtype, [2, 4], [0, bits])}, bytes(bits)))
    assert read_header(path).tensors["a"].num_bytes == bits
    with safe_open(path, "pt") as theirs:  # refuses a width that is not the format's
        assert theirs.get_slice("a").get_dtype() == dtype


# Files that are none.


@pytest.mark.parametrize("size", [0, 1, 7])
def test_a_file_too_short_for_a_header_is_refused(path: Path, size: int) -> None:
    said = _refused(path, bytes(size))
    assert str(path) in said and f"it has {size} bytes, too few for a header" in said


def test_a_missing_file_is_refused(path: Path) -> None:
    assert f"there is no file {path}" in refusal(read_header, path)


def test_a_pipe_is_refused_without_waiting(path: Path) -> None:
    os.mkfifo(path)
    assert "is not a file but a pipe" in refusal(read_header, path)


def test_a_header_longer_than_the_file_is_a_truncated_file(path: Path) -> None:
    said = _refused(path, file_of(b"{}", length=1_000))
    assert str(path) in said and "is truncated: its header has 1,000 bytes and the file only 10" in said


def test_a_header_one_byte_longer_than_the_file_is_a_truncated_file(path: Path) -> None:
    said = _refused(path, file_of(b"{}", length=3))
    assert str(path) in said and "is truncated" in said


@pytest.mark.parametrize("length", [MAX_HEADER_BYTES + 1, 2**63, 2**64 - 1])
def test_a_header_of_more_than_25_mb_is_refused(path: Path, length: int) -> None:
    said = _refused(path, file_of(b"{}", length=length))
    assert str(path) in said and f"a header of {length:,} bytes" in said


def test_a_header_of_more_than_25_mb_is_refused_though_the_file_has_it(path: Path) -> None:
    path.write_bytes(file_of(b"{}", length=MAX_HEADER_BYTES + 1))
    os.truncate(path, 2 * MAX_HEADER_BYTES)
    assert "a header of 25,000,001 bytes" in refusal(read_header, path)


@pytest.mark.parametrize("length", [90_000_000, 2**63])
def test_a_header_that_claims_to_be_long_costs_no_memory(path: Path, length: int) -> None:
    path.write_bytes(file_of(b"{}".ljust(1_000), length=length))
    assert peak_growth(READER, REFUSED, str(path)) < 4 * 2**20


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 1234\n", "a Git LFS pointer"),
        (b"PK\x03\x04\x00\x00\x08\x08\x00\x00\x00\x00\x00\x00archive/data.pkl", "a pickle file of torch"),
        (b"GGUF\x03\x00\x00\x00\x23\x01\x00\x00\x00\x00\x00\x00", "a GGUF file"),
        (b"\x89HDF\r\n\x1a\n\x00\x00\x00\x00\x00\x08\x08\x00", "an HDF5 file"),
        (b"<!DOCTYPE html><html><title>Sign in</title></html>", "a web page"),
        (b"<html><title>Sign in</title></html>", "a web page"),
    ],
)
def test_another_file_under_the_name_of_a_safetensors_file_is_named(
    path: Path, raw: bytes, what: str
) -> None:
    said = _refused(path, raw)
    assert str(path) in said and f"is {what}" in said


# Headers that are no description of tensors.


def test_a_header_that_is_no_json_is_refused(path: Path) -> None:
    said = _refused(path, file_of(b"{'a': 1}"))
    assert str(path) in said and "the header of" in said and "is not JSON" in said


def test_a_header_that_breaks_off_is_refused(path: Path) -> None:
    said = _refused(path, file_of(b'{"a": {"dtype"'))
    assert str(path) in said and "the header of" in said and "breaks off" in said


def test_a_header_of_zero_bytes_is_refused(path: Path) -> None:
    said = _refused(path, file_of(b""))
    assert str(path) in said and "the header of" in said and "is empty" in said


def test_a_header_padded_with_zeros_is_refused(path: Path) -> None:
    said = _refused(path, file_of(b"{}\0\0"))
    assert str(path) in said and "the header of" in said and "is not JSON" in said


@pytest.mark.parametrize("pair", [b"[]", b"{}"])
def test_a_header_of_millions_of_brackets_costs_no_more_than_its_bytes(path: Path, pair: bytes) -> None:
    path.write_bytes(file_of(b'{"a": [' + (pair + b",") * 2**20 + b"0]}"))
    assert f"the header of {path} describes no tensors" in refusal(read_header, path)
    assert peak_growth(READER, REFUSED, str(path)) < 8 * 2**20


def test_a_header_of_many_small_tensors_is_read(path: Path) -> None:
    header = {f"{number:x}": entry("U8", [], [number, number + 1]) for number in range(2_000)}
    path.write_bytes(file_of(json.dumps(header, separators=(",", ":")).encode(), bytes(2_000)))
    assert len(read_header(path).tensors) == 2_000


def test_a_header_that_is_a_list_is_refused(path: Path) -> None:
    said = _refused(path, file_of(b"[]"))
    assert str(path) in said and "a list where a JSON object is expected" in said


def test_a_tensor_described_twice_is_refused(path: Path) -> None:
    once = json.dumps(entry()).encode()
    said = _refused(path, file_of(b'{"a": ' + once + b', "a": ' + once + b"}", bytes(4)))
    assert str(path) in said and "gives the key 'a' twice" in said


def test_metadata_given_twice_is_refused(path: Path) -> None:
    said = _refused(path, file_of(b'{"__metadata__": {"a": "1", "a": "2"}}'))
    assert str(path) in said and "gives the key 'a' twice" in said


@pytest.mark.parametrize("metadata", [{"a": 1}, {"a": None}, ["a"], "a", 0, False])
def test_metadata_that_is_not_text_is_refused(path: Path, metadata: Any) -> None:
    said = _refused(path, file_of({"__metadata__": metadata}))
    assert str(path) in said and "a __metadata__ that is not text by key" in said
