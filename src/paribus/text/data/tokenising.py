"""One piece of a source, from its spans to a file of tokens: the work of a worker, in whatever process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from paribus.text.data.piece_files import PieceWriter
from paribus.text.data.pieces import Piece
from paribus.text.data.readers import documents_of
from paribus.text.data.shards import token_dtype
from paribus.text.data.spans import check_unchanged
from paribus.text.tokenizers import Tokenizer


@dataclass(frozen=True, kw_only=True)
class PieceWork:
    """How pieces are made: with which tokenizer, from which field of rows, and into which folder."""

    tokenizer: Tokenizer
    text_field: str
    folder: Path

    def do(self, piece: Piece, *, progress: Callable[[int], None]) -> None:
        """Write the finished piece; `progress` is told of bytes of the source, `piece.size` in all.

        Raises `RequestError` for a source that cannot be used, `WorkError` for a full disk.
        """
        encode, end = self.tokenizer.encode, self.tokenizer.end_of_document
        dtype = token_dtype(self.tokenizer.vocab_size)
        looked_at = skipped = 0
        with PieceWriter(self.folder, piece.number, dtype=dtype, end=end) as writer:
            for span in piece.spans:
                told = 0
                for text, position, _ in documents_of(span, self.text_field):
                    looked_at += 1
                    skipped += text is None
                    if text and not text.isspace():
                        writer.add(text.encode("utf-8"), encode(text))
                    progress(min(position, span.size) - told)
                    told = min(position, span.size)
                check_unchanged(span.file)
                progress(span.size - told)
            writer.finish(source_bytes=piece.size, looked_at=looked_at, skipped=skipped)
