"""What a tokenizer is to be: everything that its training depends on beside the text."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from paribus.errors import RequestError, nearest
from paribus.text.tokenizers.normalisers import get_normaliser
from paribus.text.tokenizers.splits import get_split

END = "<|endoftext|>"
UNKNOWN = ("bytes", "token")
#: More ids than any tokenizer has.
MOST_TOKENS = 2**24


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A request for a tokenizer.

    `vocab_size` counts every id: pieces, the 256 bytes that stand in for unknown characters, special tokens. `normaliser`
    and `split` are the same for every method unless given. `unknown` is what becomes of a character that training did not
    see, for methods whose alphabet is characters: "bytes" writes its UTF-8 bytes and loses nothing, "token" writes
    `<unk>`. `min_count` is the least count of what is merged or kept (default: the method's own), `specials` are names of tokens that text never
    becomes; `END` is always one. `options` are those of the method. Raises `RequestError` for a name or size that cannot be.
    """

    method: str
    vocab_size: int
    normaliser: str = "none"
    split: str = "gpt4"
    unknown: str = "bytes"
    min_count: int | None = None
    specials: tuple[str, ...] = ()
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        get_normaliser(self.normaliser)
        get_split(self.split)
        if self.unknown not in UNKNOWN:
            raise RequestError(f"unknown is {self.unknown!r}: {nearest(self.unknown, UNKNOWN)}")
        if not 1 <= self.vocab_size <= MOST_TOKENS:
            raise RequestError(f"vocab_size is {self.vocab_size:,}: it is from 1 to {MOST_TOKENS:,}")
        if self.min_count is not None and self.min_count < 1:
            raise RequestError(f"min_count is {self.min_count}: it is at least 1")
        names = (*self.specials, END)
        if len(set(names)) < len(names) or "" in names:
            raise RequestError(
                f"special tokens have different names, none of them empty or {END}: {list(self.specials)}"
            )

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self) | {"specials": list(self.specials), "options": dict(self.options)}
