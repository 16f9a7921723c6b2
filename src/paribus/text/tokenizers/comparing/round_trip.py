"""What a tokenizer does not give back, shown at the first place where it does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_AROUND = 20  # characters shown on each side of the first that differs


@dataclass
class RoundTrips:
    """How many documents did not come back, and the first difference of the first of them."""

    documents: int = 0
    failed: int = 0
    example: dict[str, Any] | None = None

    def add(self, text: str, back: str) -> None:
        """Count one document and what decoding its ids gave."""
        self.documents += 1
        if text == back:
            return
        self.failed += 1
        if self.example is None:
            place = next(
                (number for number, (one, other) in enumerate(zip(text, back, strict=False)) if one != other),
                min(len(text), len(back)),
            )
            start = max(0, place - _AROUND)
            self.example = {
                "character": place,
                "text": text[start : place + _AROUND],
                "decoded": back[start : place + _AROUND],
            }
