"""The wire format of Protocol Buffers, as far as a tokenizer's file needs it: fields of numbers, bytes and floats.

See the encoding page of the Protocol Buffers documentation. Meaning belongs to who reads the fields.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class Malformed(ValueError):
    """The bytes are no message."""


def fields(message: bytes) -> Iterator[tuple[int, int | float | bytes]]:
    """(number, value) of each field in order: varints as int, 32-bit fields as float, the rest as bytes.

    Raises `Malformed` for bytes that are no message.
    """
    place, view = 0, memoryview(message)
    while place < len(view):
        key, place = _varint(view, place)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, place = _varint(view, place)
            yield number, value
            continue
        if kind == _BYTES:
            size, place = _varint(view, place)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise Malformed(f"field {number} is of the kind {kind}, which there is not")
        if number == 0 or place + size > len(view):
            raise Malformed(f"field {number} does not end inside the file")
        part = bytes(view[place : place + size])
        place += size
        yield number, struct.unpack("<f", part)[0] if kind == _FIXED32 else part


def field(number: int, value: float | bytes) -> bytes:
    """A field as the wire has it; a float takes 32 bits."""
    if isinstance(value, bytes):
        return _written(number << 3 | _BYTES) + _written(len(value)) + value
    if isinstance(value, float):
        return _written(number << 3 | _FIXED32) + struct.pack("<f", value)
    return _written(number << 3 | _VARINT) + _written(value & (1 << 64) - 1)


def _varint(view: memoryview, place: int) -> tuple[int, int]:
    found = 0
    for shift in range(0, 70, 7):
        if place >= len(view):
            raise Malformed("it breaks off in the middle of a number")
        byte = view[place]
        place += 1
        found |= (byte & 0x7F) << shift
        if byte < 0x80:
            return found, place
    raise Malformed("it has a number of more than 64 bits")


def _written(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
