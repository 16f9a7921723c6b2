"""The header of a safetensors file: which tensors it holds and where. No weight is read.

A file is eight bytes that give the header's length (little endian), the header as JSON, and the tensors' bytes
without a gap: https://huggingface.co/docs/safetensors. We are stricter than the format's own reader, never laxer.
"""

from __future__ import annotations

import math
import reprlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paribus.errors import RequestError, nearest, shown
from paribus.families.files.dtypes import DTYPES
from paribus.files.json_object import json_object
from paribus.files.opening import opened, place, size_of

#: A fourth of what the format allows: no checkpoint comes near, and reading more would take minutes.
MAX_HEADER_BYTES = 25_000_000
_LENGTH_BYTES = 8
_MAX_NAME = 1_000
_MAX_DIMENSIONS = 64
_FIELDS = ("dtype", "shape", "data_offsets")
#: What is found in place of a safetensors file, by its first bytes.
_IMPOSTORS = {
    b"version ": "a Git LFS pointer in place of the weights: fetch them with `git lfs pull`",
    b"PK\x03\x04": "a pickle file of torch under another name, which is not read",
    b"GGUF": "a GGUF file under another name, which is not read",
    b"\x89HDF": "an HDF5 file under another name, which is not read",
    b"<!DOCTYP": "a web page that was saved in place of the weights: fetch them again",
    b"<!doctyp": "a web page that was saved in place of the weights: fetch them again",
    b"<html": "a web page that was saved in place of the weights: fetch them again",
}


@dataclass(frozen=True, kw_only=True)
class TensorInfo:
    """A tensor in a file: its bytes lie from `start` up to `end`, counted from the file's beginning.

    `dtype` is the file's word (`BF16`), `shape` counts numbers, also where several share a byte.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Path
    start: int
    end: int

    @property
    def num_elements(self) -> int:
        return math.prod(self.shape)

    @property
    def num_bytes(self) -> int:
        return self.end - self.start


@dataclass(frozen=True, kw_only=True)
class Header:
    """All tensors of a file in the header's order, and the text that its writer added."""

    tensors: dict[str, TensorInfo]
    metadata: dict[str, str]


def read_header(path: Path) -> Header:
    """The header of the safetensors file at `path`, of at most 25 MB, checked against the file's size.

    Raises `RequestError` in one sentence if anything in it contradicts itself, the format or the file.
    """
    where = place(path)
    with opened(path) as file:
        size = size_of(file)
        first = file.read(_LENGTH_BYTES)
        length = int.from_bytes(first, "little")
        if len(first) < _LENGTH_BYTES or length > min(MAX_HEADER_BYTES, size - _LENGTH_BYTES):
            raise _no_header(where, first, length, size)
        raw = file.read(length)
    # Three brackets describe a tensor, in fifty bytes or more; millions of empty ones only fill the memory.
    if raw.count(b"[") + raw.count(b"{") > length // 12 + 1_000:
        raise RequestError(f"the header of {where} describes no tensors: it is made of brackets")
    entries = json_object(raw, f"the header of {where}")
    metadata = _metadata(entries.pop("__metadata__", None), where)
    data = _LENGTH_BYTES + length
    tensors = {name: _tensor(name, entry, path, data) for name, entry in entries.items()}
    _check_layout(tensors, where, data, size)
    return Header(tensors=tensors, metadata=metadata)


def _no_header(where: str, first: bytes, length: int, size: int) -> RequestError:
    for beginning, what in _IMPOSTORS.items():
        if first.startswith(beginning):
            return RequestError(f"{where} is {what}")
    if len(first) < _LENGTH_BYTES:
        return RequestError(f"{where} is no safetensors file: it has {size} bytes, too few for a header")
    if length > MAX_HEADER_BYTES:
        return RequestError(
            f"{where} is no safetensors file: it begins with a header of {length:,} bytes, "
            f"and at most {MAX_HEADER_BYTES:,} are allowed"
        )
    return RequestError(
        f"{where} is truncated: its header has {length:,} bytes and the file only {size:,}; fetch it again"
    )


def _metadata(given: Any, where: str) -> dict[str, str]:
    if given is None:
        return {}
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        raise RequestError(f"the header of {where} has a __metadata__ that is not text by key")
    return given


def _tensor(name: str, entry: Any, path: Path, data: int) -> TensorInfo:
    if not name or len(name) > _MAX_NAME or not name.isprintable():
        said = f"the name {_quoted(name)} of {len(name):,} letters" if name else "an empty name"
        raise RequestError(
            f"{place(path)} has a tensor with {said}: a name is 1 to {_MAX_NAME:,} printable letters"
        )
    which = f"tensor {_quoted(name)} in {place(path)}"
    if not isinstance(entry, dict) or sorted(entry) != sorted(_FIELDS):
        raise RequestError(f"{which} is not described by exactly {', '.join(_FIELDS)}")
    dtype, shape, offsets = (entry[field] for field in _FIELDS)
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise RequestError(
            f"{which} has the unknown dtype {_brief(dtype)}: {nearest(str(dtype)[:40], DTYPES)}"
        )
    if not _are_whole(shape) or len(shape) > _MAX_DIMENSIONS:
        raise RequestError(
            f"{which} has the shape {_brief(shape)}: a list of at most {_MAX_DIMENSIONS} whole numbers from 0 is expected"
        )
    if not _are_whole(offsets) or len(offsets) != 2:
        raise RequestError(
            f"{which} has the data_offsets {_brief(offsets)}: two whole numbers are expected, where its bytes "
            "begin and end"
        )
    begin, end = offsets
    if end < begin:
        raise RequestError(f"{which} ends at byte {end:,}, before it begins at {begin:,}")
    # Without its zeros, so that the strides of an empty tensor fit too.
    bits = math.prod(size for size in shape if size) * DTYPES[dtype].bits
    if bits >= 2**63:
        raise RequestError(f"{which} is {dtype} {_brief(shape)}, which is more than 64 bits can count")
    num_bytes, bits_over = divmod(0 if 0 in shape else bits, 8)
    if bits_over:
        raise RequestError(f"{which} is {dtype} {_brief(shape)}, which is no whole number of bytes")
    if num_bytes != end - begin:
        raise RequestError(
            f"{which} is {dtype} {_brief(shape)}, which takes {num_bytes:,} bytes, and its data_offsets span "
            f"{end - begin:,}"
        )
    return TensorInfo(
        name=name, dtype=dtype, shape=tuple(shape), file=path, start=data + begin, end=data + end
    )


def _check_layout(tensors: dict[str, TensorInfo], where: str, data: int, size: int) -> None:
    """The tensors follow each other without overlap or hole, from the header's end to the file's."""
    reached, before = data, ""
    for info in sorted(tensors.values(), key=lambda info: (info.start, info.end)):
        if info.start < reached:
            raise RequestError(f"tensors {_quoted(before)} and {_quoted(info.name)} overlap in {where}")
        if info.start > reached:
            raise RequestError(
                f"{where} has a hole: the {info.start - reached:,} bytes before tensor {_quoted(info.name)} "
                "belong to none"
            )
        reached, before = info.end, info.name
    if size < reached:
        raise RequestError(
            f"{where} is truncated: its header describes {reached:,} bytes and the file has {size:,}; fetch it again"
        )
    if size > reached:
        raise RequestError(
            f"{where} goes on after its last tensor: its header describes {reached:,} bytes and the file "
            f"has {size:,}"
        )


def _are_whole(numbers: Any) -> bool:
    return isinstance(numbers, list) and all(
        type(number) is int and 0 <= number < 2**63 for number in numbers
    )


def _quoted(name: str) -> str:
    return repr(shown(name, at_most=80))


def _brief(value: Any) -> str:
    return shown(reprlib.repr(value), at_most=80)
