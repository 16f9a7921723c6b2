"""The 128 bytes that every file of a dataset begins with: what it holds, of which dataset, and a checksum.

`docs/data.md` gives the layout byte by byte. Checking a header costs one short read; checking the numbers behind
it, which reads them all, is `check_content`.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

HEADER_BYTES = 128
MAGIC = b"PARIBUS\n"
VERSION = 1
KINDS = ("tokens", "documents", "groups")
SPLITS = ("train", "heldout")

_FIELDS = struct.Struct("<8sHHHHQQ32s32s24xI")
_OWN_CRC = struct.Struct("<I")
_READ_AT_ONCE = 2**22


class Unfit(ValueError):
    """A file that is not what it should be; the message begins with its name."""


@dataclass(frozen=True)
class Identity:
    """Which dataset a file belongs to, and which tokenizer made it: two sha256, of the second by its name."""

    dataset: bytes
    tokenizer: bytes

    @classmethod
    def of(cls, dataset_sha256: str, tokenizer_name: str) -> Identity:
        return cls(bytes.fromhex(dataset_sha256), hashlib.sha256(tokenizer_name.encode()).digest())


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a file holds: `items` numbers of `item_bytes` each, the first of which is number `first` of its split."""

    kind: str
    split: str
    item_bytes: int
    first: int
    items: int
    identity: Identity
    crc32: int = 0

    def packed(self) -> bytes:
        numbers = (VERSION, KINDS.index(self.kind), SPLITS.index(self.split), self.item_bytes)
        place = (self.first, self.items, self.identity.dataset, self.identity.tokenizer)
        fields = _FIELDS.pack(MAGIC, *numbers, *place, self.crc32)
        return fields + _OWN_CRC.pack(zlib.crc32(fields))


@contextmanager
def numbers_file(
    path: Path, *, kind: str, split: str, dtype: str, first: int, identity: Identity
) -> Iterator[Callable[[npt.NDArray[Any]], None]]:
    """Write a file by calling what is given with one array after another; the header is written when all are there."""
    width = np.dtype(dtype).itemsize
    items = crc = 0
    with open(path, "wb") as file:
        file.write(bytes(HEADER_BYTES))

        def append(numbers: npt.NDArray[Any]) -> None:
            nonlocal items, crc
            content = np.ascontiguousarray(numbers, dtype=dtype).data
            crc = zlib.crc32(content, crc)
            file.write(content)
            items += len(numbers)

        yield append
        header = Header(
            kind=kind, split=split, item_bytes=width, first=first, items=items, identity=identity, crc32=crc
        )
        file.seek(0)
        file.write(header.packed())


def numbers_in(path: Path, dtype: str) -> npt.NDArray[Any]:
    """The numbers behind the header, mapped and not loaded; as a plain array, which is faster to index."""
    return np.asarray(np.memmap(path, dtype=dtype, mode="r", offset=HEADER_BYTES))


def check_header(path: Path, expected: Header) -> Header:
    """The header of `path`, which must be `expected` but for its checksum, over as many numbers as it says.

    Raises `Unfit` for a file that is foreign, cut, damaged or of another dataset.
    """
    with open(path, "rb") as file:
        raw = file.read(HEADER_BYTES)
        file.seek(0, 2)
        size = file.tell()
    if raw[: len(MAGIC)] != MAGIC:
        raise Unfit(f"{path.name} is no file of a prepared dataset: it does not begin with {MAGIC!r}")
    if len(raw) < HEADER_BYTES:
        raise Unfit(f"{path.name} is cut off in its header, after {size:,} bytes")
    fields = raw[: _FIELDS.size]
    _, version, kind, split, width, first, items, dataset, tokenizer, crc = _FIELDS.unpack(fields)
    if zlib.crc32(fields) != _OWN_CRC.unpack(raw[_FIELDS.size :])[0]:
        raise Unfit(f"{path.name} has a damaged header")
    if version != VERSION:
        raise Unfit(f"{path.name} has version {version} of the format and this Paribus reads {VERSION}")
    found = Header(
        kind=_named(KINDS, kind),
        split=_named(SPLITS, split),
        item_bytes=width,
        first=first,
        items=items,
        identity=Identity(dataset, tokenizer),
        crc32=crc,
    )
    if found.identity.tokenizer != expected.identity.tokenizer:
        raise Unfit(f"{path.name} was made by another tokenizer")
    if found.identity != expected.identity:
        raise Unfit(f"{path.name} belongs to another dataset")
    if found != replace(expected, crc32=crc):
        raise Unfit(
            f"{path.name} holds {_described(found)} and should hold {_described(expected)}: it was renamed or swapped"
        )
    if size != (wanted := HEADER_BYTES + width * items):
        raise Unfit(f"{path.name} has {size:,} bytes and should have {wanted:,}")
    return found


def check_content(path: Path, header: Header, *, progress: Callable[[int], None]) -> None:
    """Raises `Unfit` if the numbers are not those that were written. `progress` is told of bytes as they are read."""
    crc = 0
    with open(path, "rb") as file:
        file.seek(HEADER_BYTES)
        while part := file.read(_READ_AT_ONCE):
            crc = zlib.crc32(part, crc)
            progress(len(part))
    if crc != header.crc32:
        raise Unfit(
            f"{path.name} was changed after it was written: its checksum is {crc:08x}, not {header.crc32:08x}"
        )


def _named(names: tuple[str, ...], number: int) -> str:
    return names[number] if number < len(names) else f"kind {number}"


def _described(header: Header) -> str:
    return f"{header.kind} {header.first:,} to {header.first + header.items:,} of {header.split} in {header.item_bytes} bytes each"
