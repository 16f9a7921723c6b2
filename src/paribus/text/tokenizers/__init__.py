"""Tokenizers by name or by where they lie.

A tokenizer without files joins by one row in `_TOKENIZERS`; what it must offer is the `Tokenizer` protocol.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

from paribus.errors import RequestError, nearest, shown
from paribus.text.tokenizers.byte_level import ByteTokenizer
from paribus.text.tokenizers.opening import holds_tokenizer, open_tokenizer, stamp
from paribus.text.tokenizers.protocol import TokenArray, Tokenizer

__all__ = ["ByteTokenizer", "TokenArray", "Tokenizer", "get_tokenizer", "holds_tokenizer", "located"]

_TOKENIZERS: dict[str, Callable[[], Tokenizer]] = {ByteTokenizer.name: ByteTokenizer}


def get_tokenizer(given: str) -> Tokenizer:
    """The tokenizer of this name or at this path, for example `get_tokenizer("bytes")` or `get_tokenizer("gpt2/")`.

    A path is that of a folder with a tokenizer's files or of such a file. Raises `RequestError` for an unknown name,
    offering the nearest ones, and for files that cannot be used.
    """
    if given in _TOKENIZERS:
        return _TOKENIZERS[given]()
    path = Path(given).expanduser()
    if not given or not _exists(path):
        raise RequestError(
            f"there is no tokenizer {shown(given, at_most=200)!r}: {nearest(given, _TOKENIZERS)}, or the path of one"
        )
    return _opened(path.absolute(), stamp(path))


def located(given: str) -> str:
    """`given` so that it means the same tokenizer from any working folder."""
    return given if given in _TOKENIZERS else str(Path(given).expanduser().absolute())


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a NUL or a name that is too long
        return False


@functools.lru_cache(maxsize=8)
def _opened(path: Path, stamped: object) -> Tokenizer:
    return open_tokenizer(path)
