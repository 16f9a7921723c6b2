"""Pieces with scores, as a `.model` file has them: what both of SentencePiece's methods train."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from paribus.text.tokenizers.reference.sentencepiece_text import SPECIALS, shown_bytes


@dataclass(frozen=True)
class ScoredPieces:
    """Special tokens first, then pieces, which write a space as U+2581; ids are places in `tokens`."""

    tokens: tuple[str, ...]
    scores: tuple[float, ...]
    specials: tuple[str, ...] = SPECIALS
    unknown: int = 0

    @property
    def vocab_size(self) -> int:
        return len(self.tokens)

    @cached_property
    def pieces(self) -> tuple[bytes, ...]:
        """[vocab_size]: the bytes that each id stands for, none for a special token."""
        return tuple(
            b"" if number < len(self.specials) else shown_bytes(token)
            for number, token in enumerate(self.tokens)
        )

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {token: number for number, token in enumerate(self.tokens) if number >= len(self.specials)}
