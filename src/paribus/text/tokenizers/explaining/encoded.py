"""A text and its tokens, and what is told of how they came: plain data that the renderers take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from paribus.text.tokenizers.explaining.applying import Merges
from paribus.text.tokenizers.explaining.lattice import Lattice
from paribus.text.tokenizers.explaining.matching import Matches
from paribus.text.tokenizers.explaining.segments import Segmented

Steps: TypeAlias = Merges | Matches | Lattice | Segmented


@dataclass(frozen=True)
class Token:
    """An id and what it stands for; `fallback` where it is a byte of a character without a piece, or the unknown token."""

    id: int
    text: str
    fallback: bool = False


@dataclass(frozen=True)
class Run:
    """A stretch of a word, with the `steps` to its tokens where these are known; `fallen` are the characters of it that are
    written without a piece of their own.
    """

    text: str
    tokens: tuple[Token, ...]
    steps: Steps | None
    fallen: str = ""


@dataclass(frozen=True)
class WordEncoded:
    """A word by the split, and its stretches."""

    word: str
    runs: tuple[Run, ...]

    @property
    def tokens(self) -> tuple[Token, ...]:
        return tuple(token for run in self.runs for token in run.tokens)


@dataclass(frozen=True)
class Encoding:
    """A text and its tokens. `words` join to `normalised` unless the split drops some of it."""

    tokenizer: str
    method: str
    normaliser: str
    split: str
    text: str
    normalised: str
    words: tuple[WordEncoded, ...]

    @property
    def ids(self) -> list[int]:
        return [token.id for word in self.words for token in word.tokens]
