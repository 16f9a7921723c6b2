"""Text as UTF-8, and the printable letters that byte-level tokenizers write bytes as."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from paribus.errors import RequestError, shown


def utf8(text: str) -> bytes:
    """The bytes of `text`. Raises `RequestError` for a lone surrogate, which has no UTF-8 form."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RequestError(
            f"the text has the lone surrogate U+{ord(text[error.start]):04X} at character "
            f"{error.start:,}, which has no UTF-8 form: remove or replace it"
        ) from error


def _letters() -> dict[int, str]:
    # As GPT-2's encoder.py: what Latin-1 prints stands for itself, all else for the letters from U+0100 on.
    printed = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = (byte for byte in range(256) if byte not in set(printed))
    return {byte: chr(byte) for byte in printed} | {
        byte: chr(0x100 + number) for number, byte in enumerate(others)
    }


#: The letter that stands for each byte (Radford et al. 2019, GPT-2), and the other way round.
LETTER_OF_BYTE: Mapping[int, str] = MappingProxyType(_letters())
BYTE_OF_LETTER: Mapping[str, int] = MappingProxyType(
    {letter: byte for byte, letter in LETTER_OF_BYTE.items()}
)


def to_letters(piece: bytes) -> str:
    """`piece` with each byte written as its letter."""
    return "".join(map(LETTER_OF_BYTE.__getitem__, piece))


def from_letters(text: str) -> bytes:
    """The bytes that `text` writes in letters. Raises `RequestError` for a letter that stands for none."""
    try:
        return bytes(map(BYTE_OF_LETTER.__getitem__, text))
    except KeyError as error:
        raise RequestError(
            f"{shown(error.args[0])!r} in {shown(text, at_most=40)!r} stands for no byte"
        ) from None
