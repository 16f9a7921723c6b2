"""What the rest of Paribus asks of a tokenizer, and nothing more.

Training a tokenizer or reading its files is each tokenizer's own affair and does not belong here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from paribus.errors import RequestError

TokenArray: TypeAlias = npt.NDArray[np.integer]


class Tokenizer(Protocol):
    """Text to ids in [0, vocab_size) and back.

    `name` must tell apart any two tokenizers that encode differently: prepared data are reused by it.
    """

    @property
    def name(self) -> str: ...

    @property
    def vocab_size(self) -> int: ...

    @property
    def end_of_document(self) -> int:
        """The id that closes every document; no text encodes to it."""

    @property
    def byte_lengths(self) -> npt.NDArray[np.int64]:
        """[vocab_size]: UTF-8 bytes of text that each id stands for, the denominator of bits per byte.

        Some tokenizers put a blank before every text, which its first id counts: `end_of_document` takes it back (-1),
        so that the ids of a document add up to its bytes. It stands for 0 otherwise.
        """

    @property
    def loses(self) -> tuple[str, ...]:
        """What of a text decoding does not give back, in words; empty for a lossless tokenizer."""

    def files(self) -> Mapping[str, bytes]:
        """What a folder must hold, by file name, for `get_tokenizer(folder)` to give this tokenizer.

        Nothing for one that is known by its name alone.
        """

    def encode(self, text: str) -> TokenArray:
        """Ids of `text`, one-dimensional, uint16 or uint32, without `end_of_document`."""

    def decode(self, ids: Sequence[int] | TokenArray) -> str:
        """Text of `ids`; `end_of_document` gives nothing, bytes that are not UTF-8 give U+FFFD."""


def bytes_put_before(tokenizer: Tokenizer) -> int:
    """Bytes that encoding puts before every text: what the ids of a letter count too many; 0 if it has none."""
    try:
        ids = tokenizer.encode("a")
    except RequestError:
        return 0
    return max(0, int(tokenizer.byte_lengths[ids].sum()) - 1)


def id_dtype(vocab_size: int) -> type[np.unsignedinteger]:
    """The smallest dtype of ids that the protocol allows."""
    return np.uint16 if vocab_size <= 2**16 else np.uint32


def known_ids(ids: Sequence[int] | TokenArray, tokenizer: Tokenizer) -> npt.NDArray[np.int64]:
    """`ids` as an array. Raises `RequestError` for one outside [0, vocab_size)."""
    try:
        array = np.asarray(ids, dtype=np.int64)
    except OverflowError:  # an integer of more than 64 bits
        array = np.asarray(ids, dtype=object)
    unknown = array[(array < 0) | (array >= tokenizer.vocab_size)]
    if unknown.size:
        raise RequestError(
            f"id {unknown[0]} is not in the vocabulary of {tokenizer.name!r}, which is 0 to {tokenizer.vocab_size - 1}"
        )
    return array
