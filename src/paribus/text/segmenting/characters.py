"""The segmenter with nothing to know: a piece is a character."""

from __future__ import annotations

from typing import ClassVar


class CharacterSegmenter:
    """A piece is one code point. Combining marks and joined emoji come apart: `rule` keeps marks with their letter."""

    name: ClassVar[str] = "characters"

    def segment(self, text: str) -> list[str]:
        return list(text)
