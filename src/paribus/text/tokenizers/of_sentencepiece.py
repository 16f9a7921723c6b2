"""SentencePiece's `.model` as a `Tokenizer`; encoding and decoding are the library's own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from paribus.errors import RequestError, shown
from paribus.files.opening import bytes_of, place
from paribus.text.tokenizers.formats.sentencepiece_model import (
    BYTE,
    NORMAL,
    USER_DEFINED,
    SentencePieceModel,
    read_model,
)
from paribus.text.tokenizers.protocol import TokenArray, bytes_put_before, id_dtype, known_ids
from paribus.text.tokenizers.unicode import utf8

_SPACE = "\N{LOWER ONE EIGHTH BLOCK}"
_MOST_BYTES = 256 * 2**20


class SentencePieceTokenizer:
    """Text to ids and back as the `.model` file at `path` says, with no token put around a text.

    `loses` names what of a text does not come back. A literal U+2581 always comes back as a space. Raises
    `RequestError` for a file that is none.
    """

    def __init__(self, path: Path) -> None:
        try:
            import sentencepiece
        except ImportError:
            raise RequestError(
                "reading a SentencePiece model takes the package sentencepiece: pip install 'paribus[tokenizers]'"
            ) from None
        self._content, self._file = bytes_of(path, "a tokenizer", at_most=_MOST_BYTES), path.name
        self.description: SentencePieceModel = read_model(self._content, place(path))
        try:
            self._library = sentencepiece.SentencePieceProcessor(model_proto=self._content)
        except Exception as error:
            raise RequestError(f"{place(path)} cannot be used: {shown(error, at_most=200)}") from error
        self.vocab_size: int = len(self.description.pieces)
        self.end_of_document: int = self._end(path)
        lengths = np.array(
            [_length(piece.text, piece.kind) for piece in self.description.pieces], dtype=np.int64
        )
        lengths[self.end_of_document] = 0
        self.byte_lengths: npt.NDArray[np.int64] = lengths
        lengths[self.end_of_document] = -bytes_put_before(self)
        lengths.flags.writeable = False
        self.loses: tuple[str, ...] = tuple(self._losses())

    @cached_property
    def name(self) -> str:
        """Its algorithm, size and digest, as `unigram-32000-0123456789ab`."""
        digest = hashlib.sha256(self._content).hexdigest()[:12]
        return f"{self.description.algorithm}-{self.vocab_size}-{digest}"

    def encode(self, text: str) -> TokenArray:
        """Ids of `text`. Raises `RequestError` for a lone surrogate."""
        utf8(text)
        return np.array(self._library.encode(text), dtype=id_dtype(self.vocab_size))

    def normalised(self, text: str) -> str:
        """`text` as the model's pieces write it: a blank as U+2581."""
        utf8(text)
        return str(self._library.normalize(text))

    def decode(self, ids: Sequence[int] | TokenArray) -> str:
        """Text of `ids`, control tokens left out. Raises `RequestError` for an id outside [0, vocab_size)."""
        array = known_ids(ids, self)
        return str(self._library.decode(array[array != self.end_of_document].tolist()))

    def files(self) -> dict[str, bytes]:
        """The one file that makes this tokenizer."""
        return {self._file: self._content}

    def _end(self, path: Path) -> int:
        end = self.description.ids[2]
        if 0 <= end < self.vocab_size:
            return end
        raise RequestError(f"{place(path)} has no token that ends a text: train it with an eos_id")

    def _losses(self) -> Iterator[str]:
        found = self.description
        if found.normaliser not in ("", "identity"):
            yield f"what its normaliser {shown(found.normaliser, at_most=40)} folds"
        if found.remove_extra_whitespaces:
            yield "repeated spaces and those at the ends"
        if not found.byte_fallback:
            yield "characters that it does not know"


def _length(text: str, kind: int) -> int:
    if kind == BYTE:
        return 1
    return len(utf8(text.replace(_SPACE, " "))) if kind in (NORMAL, USER_DEFINED) else 0
