"""What a header says of its tensors fits the format, the other tensors and the file, or is refused."""

from pathlib import Path
from typing import Any

import pytest

from paribus.families.files.headers import read_header

from .checkpoints import entry, file_of, refusal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


def _refused(path: Path, raw: bytes) -> str:
    """What is said of a file of these bytes."""
    path.write_bytes(raw)
    return refusal(read_header, path)


def test_a_tensor_without_a_name_is_refused(path: Path) -> None:
    said = _refused(path, file_of({"": entry()}, bytes(4)))
    assert str(path) in said and "a tensor with an empty name" in said


def test_a_tensor_with_a_name_of_a_thousand_letters_is_read(path: Path) -> None:
    path.write_bytes(file_of({"a" * 1_000: entry()}, bytes(4)))
    assert list(read_header(path).tensors) == ["a" * 1_000]


@pytest.mark.parametrize("length", [1_001, 1_000_000])
def test_a_tensor_with_an_absurdly_long_name_is_refused(path: Path, length: int) -> None:
    said = _refused(path, file_of({"a" * length: entry()}, bytes(4)))
    assert str(path) in said and f"of {length:,} letters" in said


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[31mb", "a\0b", "\u202eb"])
def test_a_tensor_with_a_name_that_cannot_be_printed_is_refused(path: Path, name: str) -> None:
    said = _refused(path, file_of({name: entry()}, bytes(4)))
    assert str(path) in said and "printable letters" in said


@pytest.mark.parametrize(
    "described",
    [
        {},
        {"dtype": "F32", "shape": [1]},
        {**entry(), "strides": [1]},
        ["F32", [1], [0, 4]],
        "F32",
        None,
    ],
)
def test_a_tensor_described_by_other_fields_is_refused(path: Path, described: Any) -> None:
    said = _refused(path, file_of({"a": described}, bytes(4)))
    assert str(path) in said and "tensor 'a' in" in said and "dtype, shape, data_offsets" in said


@pytest.mark.parametrize(
    "dtype", ["F31", "f32", "", "torch.float32", None, 32, ["F32"], {"F32": 1}, "F" * 10_000]
)
def test_an_unknown_dtype_is_refused(path: Path, dtype: Any) -> None:
    said = _refused(path, file_of({"a": entry(dtype)}, bytes(4)))
    assert str(path) in said and "tensor 'a' in" in said and "has the unknown dtype" in said


def test_a_dtype_that_is_nearly_known_gets_the_nearest(path: Path) -> None:
    said = _refused(path, file_of({"a": entry("F8_E4M3FN")}, bytes(4)))
    assert str(path) in said and "'F8_E4M3FN': did you mean F8_E4M3" in said


@pytest.mark.parametrize(
    "shape",
    [
        None,
        1,
        "1",
        {"0": 1},
        [1.0],
        [True],
        [-1],
        ["1"],
        [None],
        [[1]],
        [2**63],
        [10**90],
        [1] * 65,
        [1] * 10**5,
    ],
)
def test_a_shape_of_anything_but_whole_numbers_is_refused(path: Path, shape: Any) -> None:
    said = _refused(path, file_of({"a": entry(shape=shape)}, bytes(4)))
    assert (
        str(path) in said
        and "tensor 'a' in" in said
        and "has the shape" in said
        and "whole numbers from 0" in said
    )


def test_a_shape_of_minus_zero_is_refused_as_the_formats_reader_does(path: Path) -> None:
    said = _refused(path, file_of(b'{"a": {"dtype": "F32", "shape": [-0], "data_offsets": [0, 0]}}'))
    assert str(path) in said and "has the shape [-0.0]" in said


@pytest.mark.parametrize(
    "shape", [[2**58], [2**32, 2**32], [2**62, 2**62, 0], [0, 2**40, 2**40], [2**62] * 64]
)
def test_a_size_that_overflows_64_bits_is_refused(path: Path, shape: list[int]) -> None:
    said = _refused(path, file_of({"a": entry(shape=shape)}, bytes(4)))
    assert str(path) in said and "tensor 'a' in" in said and "more than 64 bits can count" in said


@pytest.mark.parametrize(
    "offsets", [None, 4, [4], [0, 4, 4], [0, 4.0], [-4, 0], ["0", "4"], [False, 4], {"start": 0, "end": 4}]
)
def test_offsets_that_are_not_two_whole_numbers_are_refused(path: Path, offsets: Any) -> None:
    said = _refused(path, file_of({"a": entry(data_offsets=offsets)}, bytes(4)))
    assert str(path) in said and "tensor 'a' in" in said and "two whole numbers" in said


def test_reversed_offsets_are_refused(path: Path) -> None:
    said = _refused(path, file_of({"a": entry(data_offsets=[4, 0])}, bytes(4)))
    assert str(path) in said and "ends at byte 0, before it begins at 4" in said


@pytest.mark.parametrize(
    "dtype, shape, size", [("F32", [1], 3), ("F32", [2, 3], 28), ("BF16", [0], 2), ("F64", [], 4)]
)
def test_bytes_that_disagree_with_dtype_and_shape_are_refused(
    path: Path, dtype: str, shape: Any, size: int
) -> None:
    raw = file_of({"a": entry(dtype, shape, [0, size])}, bytes(size))
    said = _refused(path, raw)
    assert (
        str(path) in said
        and f"tensor 'a' in {path} is {dtype} {shape}" in said
        and f"and its data_offsets span {size}" in said
    )


@pytest.mark.parametrize("dtype, shape", [("F4", [3]), ("F4", []), ("F6_E2M3", [2])])
def test_numbers_that_do_not_fill_their_last_byte_are_refused(path: Path, dtype: str, shape: Any) -> None:
    said = _refused(path, file_of({"a": entry(dtype, shape, [0, 1])}, bytes(1)))
    assert str(path) in said and "which is no whole number of bytes" in said


# Tensors that do not fit together, or not their file.


def test_overlapping_tensors_are_refused(path: Path) -> None:
    both = {"a": entry(data_offsets=[0, 4]), "b": entry(data_offsets=[2, 6])}
    said = _refused(path, file_of(both, bytes(6)))
    assert str(path) in said and "tensors 'a' and 'b' overlap" in said


def test_tensors_that_share_their_bytes_are_refused(path: Path) -> None:
    said = _refused(path, file_of({"a": entry(), "b": entry()}, bytes(4)))
    assert str(path) in said and "tensors 'a' and 'b' overlap" in said


def test_a_hole_between_tensors_is_refused(path: Path) -> None:
    both = {"a": entry(data_offsets=[0, 4]), "b": entry(data_offsets=[6, 10])}
    said = _refused(path, file_of(both, bytes(10)))
    assert str(path) in said and "has a hole: the 2 bytes before tensor 'b'" in said


def test_a_hole_before_the_first_tensor_is_refused(path: Path) -> None:
    said = _refused(path, file_of({"a": entry(data_offsets=[8, 12])}, bytes(12)))
    assert str(path) in said and "has a hole: the 8 bytes before tensor 'a'" in said


def test_a_file_shorter_than_its_header_says_is_truncated(path: Path) -> None:
    raw = file_of({"a": entry()}, bytes(3))
    said = _refused(path, raw)
    assert (
        str(path) in said
        and f"is truncated: its header describes {len(raw) + 1} bytes and the file has {len(raw)}" in said
    )


def test_offsets_far_beyond_the_file_are_a_truncated_file(path: Path) -> None:
    said = _refused(path, file_of({"a": entry("U8", [2**59], [0, 2**59])}, bytes(4)))
    assert str(path) in said and "is truncated" in said


def test_a_file_longer_than_its_header_says_is_refused(path: Path) -> None:
    raw = file_of({"a": entry()}, bytes(5))
    said = _refused(path, raw)
    assert (
        str(path) in said
        and f"goes on after its last tensor: its header describes {len(raw) - 1} bytes" in said
    )
