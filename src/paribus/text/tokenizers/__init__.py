"""Tokenizers by name: the one table that says which there are.

A tokenizer joins by one row in `_TOKENIZERS`; what it must offer is the `Tokenizer` protocol.
"""

from __future__ import annotations

from collections.abc import Callable

from paribus.errors import RequestError, nearest
from paribus.text.tokenizers.byte_level import ByteTokenizer
from paribus.text.tokenizers.protocol import TokenArray, Tokenizer

__all__ = ["ByteTokenizer", "TokenArray", "Tokenizer", "get_tokenizer"]

_TOKENIZERS: dict[str, Callable[[], Tokenizer]] = {ByteTokenizer.name: ByteTokenizer}


def get_tokenizer(name: str) -> Tokenizer:
    """The tokenizer called `name`, for example `get_tokenizer("bytes")`.

    Raises `RequestError` for an unknown name, offering the nearest ones.
    """
    if name not in _TOKENIZERS:
        raise RequestError(f"there is no tokenizer {name!r}: {nearest(name, _TOKENIZERS)}")
    return _TOKENIZERS[name]()
