"""What the rest of Paribus asks of a tokenizer, and nothing more.

Training a tokenizer or reading its files is each tokenizer's own affair and does not belong here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

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
        """[vocab_size]: UTF-8 bytes of text that each id stands for, the denominator of bits per byte."""

    def encode(self, text: str) -> TokenArray:
        """Ids of `text`, one-dimensional, uint16 or uint32, without `end_of_document`."""

    def decode(self, ids: Sequence[int] | TokenArray) -> str:
        """Text of `ids`; `end_of_document` gives nothing, bytes that are not UTF-8 give U+FFFD."""
