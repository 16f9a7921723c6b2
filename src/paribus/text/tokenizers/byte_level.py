"""The tokenizer with nothing to train: a token is a byte of UTF-8.

It is the default of studies because no vocabulary choice stands between two arms and the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from paribus.text.tokenizers.protocol import TokenArray, known_ids
from paribus.text.tokenizers.unicode import utf8


class ByteTokenizer:
    """Ids 0 to 255 are the bytes of UTF-8, id 256 ends a document and stands for no bytes.

    `decode(encode(text)) == text` for every text that has a UTF-8 form; ids cut in the middle of a
    character decode to U+FFFD there.
    """

    name: ClassVar[str] = "bytes"
    vocab_size: ClassVar[int] = 257
    end_of_document: ClassVar[int] = 256
    loses: ClassVar[tuple[str, ...]] = ()

    def __init__(self) -> None:
        lengths = np.ones(self.vocab_size, dtype=np.int64)
        lengths[self.end_of_document] = 0
        lengths.flags.writeable = False
        self.byte_lengths: npt.NDArray[np.int64] = lengths

    def encode(self, text: str) -> npt.NDArray[np.uint16]:
        """Ids of `text`, uint16. Raises `RequestError` for a lone surrogate, which has no UTF-8 form."""
        return np.frombuffer(utf8(text), dtype=np.uint8).astype(np.uint16)

    def files(self) -> dict[str, bytes]:
        """None: the name says it all."""
        return {}

    def decode(self, ids: Sequence[int] | TokenArray) -> str:
        """Text of `ids`. Raises `RequestError` for an id outside [0, 257)."""
        array = known_ids(ids, self)
        return (
            array[array != self.end_of_document].astype(np.uint8).tobytes().decode("utf-8", errors="replace")
        )
