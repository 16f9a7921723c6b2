"""Characters as ids: what a tagger reads, and where in it each character's tag is read off.

One table of characters and their ids, or the bytes of UTF-8. Which network reads them belongs in `nets.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import ClassVar

from paribus.errors import RequestError, shown
from paribus.text.tokenizers.of_folder import FILE

_UNKNOWN = ("[UNK]", "<unk>", "<UNK>")


class Characters:
    """An id for each character of a table, and one for all others; `size` ids, of which 0 fills rows up.

    Raises `RequestError` for keys that are no single characters, ids below zero and 2^24 or more.
    """

    longest: ClassVar[int] = 1  # ids of one character

    def __init__(self, table: Mapping[str, int], *, unknown: int) -> None:
        for letter, number in (*table.items(), ("?", unknown)):
            if len(letter) != 1 or not 0 <= number < 2**24:
                raise RequestError(
                    f"an alphabet gives characters ids; {shown(letter, at_most=20)!r}: {number} is none"
                )
        self.table, self.unknown = dict(table), unknown
        self.size = max([unknown, *self.table.values()]) + 1

    def ids(self, text: str) -> tuple[list[int], list[int]]:
        """Ids of `text`, and for each character the place of its last id, where its tag is read."""
        table, unknown = self.table, self.unknown
        return [table.get(letter, unknown) for letter in text], list(range(len(text)))

    @classmethod
    def seen(cls, texts: Iterable[str]) -> Characters:
        """All characters of these texts from id 2 on, the most frequent first; 1 is the unknown one, 0 fills rows up."""
        counts = Counter(letter for text in texts for letter in text)
        in_order = sorted(counts, key=lambda letter: (-counts[letter], letter))
        return cls({letter: number for number, letter in enumerate(in_order, 2)}, unknown=1)

    @classmethod
    def of_folder(cls, folder: Path) -> Characters:
        """The single characters in the vocabulary of a checkpoint's `tokenizer.json`, as BERT has for Chinese.

        Raises `RequestError` if there is no such file, or no token for what is unknown.
        """
        try:
            from tokenizers import Tokenizer
        except ImportError:
            raise RequestError(
                "reading a tokenizer takes the package tokenizers: pip install 'paribus[tokenizers]'"
            ) from None
        path = folder / FILE
        if not path.is_file():
            raise RequestError(f"{shown(folder)} has no {FILE}, which says what its ids stand for")
        try:
            vocabulary = Tokenizer.from_file(str(path)).get_vocab()
        except Exception as error:
            raise RequestError(f"{shown(path)} is no tokenizer: {shown(error, at_most=200)}") from error
        unknown = next((vocabulary[name] for name in _UNKNOWN if name in vocabulary), None)
        if unknown is None:
            raise RequestError(
                f"the vocabulary of {shown(path)} has no token for unknown characters: {', '.join(_UNKNOWN)}"
            )
        return cls(
            {piece: number for piece, number in vocabulary.items() if len(piece) == 1}, unknown=unknown
        )


class Bytes:
    """The bytes of UTF-8, as our own models read them by default; a lone surrogate has three like any of its plane."""

    size: ClassVar[int] = 256
    longest: ClassVar[int] = 4

    def ids(self, text: str) -> tuple[list[int], list[int]]:
        """Ids of `text`, and for each character the place of its last id, where its tag is read."""
        encoded = text.encode("utf-8", "surrogatepass")
        # A byte that is not followed by a continuation (10xxxxxx) is the last of its character.
        ends = [at for at, after in enumerate((*encoded[1:], 0)) if after & 0xC0 != 0x80]
        return list(encoded), ends


Alphabet = Characters | Bytes
