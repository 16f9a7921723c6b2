"""What a trained method is inside a tokenizer: pieces, and how a word is made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class Model(Protocol):
    """Words to ids of `pieces`.

    `pieces` [V] are the bytes of text that each id stands for; none stand for an unknown character.
    """

    @property
    def pieces(self) -> Sequence[bytes]: ...

    def encode_word(self, word: str) -> list[int]:
        """Ids whose pieces join to the UTF-8 of `word`, unless the method loses some of it."""

    def state(self) -> Mapping[str, Any]:
        """All that the method's `restore` needs, as JSON has it."""
