"""What a segmenter is: a name, and a way to cut a text into pieces that join to it again.

How one is trained and kept is each segmenter's own affair; `methods.py` says which there are.
"""

from __future__ import annotations

from typing import Protocol


class Segmenter(Protocol):
    """Cuts text without changing it: `"".join(segment(text)) == text`, and no piece is empty.

    That holds for every text, lone surrogates and NUL among them; an empty text has no pieces.
    """

    @property
    def name(self) -> str: ...

    def segment(self, text: str) -> list[str]:
        """The pieces of `text`, in order, in time linear in its length."""
