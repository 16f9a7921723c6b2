"""How Chinese characters are read, through pypinyin, whose phrases decide between the readings of a character."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from paribus.errors import RequestError


def pinyin(characters: str) -> Sequence[str | None]:
    """The reading of each Chinese character in pinyin with tone marks, None where none is known.

    `characters` is a run of them, read together: 长 is zhǎng in 校长 and cháng in 长江. Raises `RequestError` without
    pypinyin.
    """
    try:
        import pypinyin
    except ImportError:
        raise RequestError(
            "reading Chinese takes the package pypinyin: pip install 'paribus[tokenizers]'"
        ) from None
    # A list for each unknown character, or a run of them would be one; its types know of text only.
    unread: Any = lambda unknown: [[""]] * len(unknown)
    found = pypinyin.pinyin(characters, style=pypinyin.Style.TONE, errors=unread)
    return [readings[0] or None for readings in found]
