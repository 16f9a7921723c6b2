"""Byte-level BPE: the alphabet is the 256 bytes, so no text is unknown.

Trained by rustbpe where that is right, and encoded by tiktoken; `reference/bpe.py` is the judge of both. rustbpe counts
pairs in 32 bits: more text than that allows is trained by the reference, and so are very long runs of blanks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from paribus.errors import RequestError
from paribus.text.tokenizers.methods.base import Corpus, Method
from paribus.text.tokenizers.model import Model
from paribus.text.tokenizers.recipe import Recipe
from paribus.text.tokenizers.reference.applying import merge_bytes
from paribus.text.tokenizers.reference.bpe import train_bpe
from paribus.text.tokenizers.splits import get_split
from paribus.text.tokenizers.trained import Fast
from paribus.text.tokenizers.unicode import from_letters, to_letters, utf8

#: A pair of bytes occurs at most once a byte.
_MOST_BYTES = 2**31 - 1
#: The regular expressions of rustbpe and tiktoken overflow their stack in a run of some millions of blanks.
_LONGEST_RUN = 2**16
_ALPHABET = bytes(range(256))
_LONG_RUN = re.compile(rf"(?<!\s)\s{{{_LONGEST_RUN},}}")


class ByteBPE:
    """Pieces in the order of their ranks, the 256 bytes first; the lowest rank of joined bytes is merged first.

    Training gives the bytes their own values as ranks; files of others may give them another order.
    """

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self.pieces: tuple[bytes, ...] = tuple(pieces)
        self.ranks: dict[bytes, int] = {piece: rank for rank, piece in enumerate(self.pieces)}

    def encode_word(self, word: str) -> list[int]:
        return merge_bytes(utf8(word), self.ranks)

    takes = "dropout"

    def sample_word(self, word: str, *, amount: float, rng: np.random.Generator) -> list[int]:
        return merge_bytes(utf8(word), self.ranks, dropout=amount, rng=rng)

    def state(self) -> dict[str, Any]:
        """Pieces after the bytes, each byte written as the letter that GPT-2 gives it, and the bytes if they have an
        order of their own.
        """
        alphabet = b"".join(self.pieces[:256])
        order = {} if alphabet == _ALPHABET else {"bytes": to_letters(alphabet)}
        return {**order, "pieces": [to_letters(piece) for piece in self.pieces[256:]]}


def restore(state: Mapping[str, Any]) -> ByteBPE:
    """Raises `RequestError` for a piece that is there twice (which of its ids would stand for it?) or of no bytes."""
    alphabet = from_letters(state["bytes"]) if "bytes" in state else _ALPHABET
    if sorted(alphabet) != list(_ALPHABET):
        raise RequestError("its bytes are not all 256, each once")
    model = ByteBPE([*(bytes((value,)) for value in alphabet), *map(from_letters, state["pieces"])])
    if b"" in model.ranks:
        raise RequestError(f"the piece with id {model.ranks[b'']:,} is empty")
    if len(model.ranks) < len(model.pieces):
        twice = next(piece for rank, piece in enumerate(model.pieces) if model.ranks[piece] != rank)
        raise RequestError(f"the piece {twice!r} is there twice")
    return model


def train(recipe: Recipe, corpus: Corpus, room: int) -> ByteBPE:
    """Raises `RequestError` if there is no room for the bytes."""
    if room < 256:
        raise RequestError(
            f"vocab_size {recipe.vocab_size:,} leaves {room:,} pieces beside the special tokens, and the bytes alone "
            "are 256"
        )
    least = recipe.min_count or 1
    # rustbpe merges whatever is left, down to pairs that occur once.
    found = _by_rustbpe(recipe, corpus, room) if least == 1 else None
    return ByteBPE(found or train_bpe(corpus.words(recipe), vocab_size=room, min_count=least).pieces)


def _by_rustbpe(recipe: Recipe, corpus: Corpus, room: int) -> list[bytes] | None:
    """Pieces as rustbpe makes them, or None where it cannot be trusted."""
    try:
        import rustbpe
    except ImportError:
        return None
    seen = _Counted(corpus.texts(recipe))
    tokenizer = rustbpe.Tokenizer()
    tokenizer.train_from_iterator(iter(seen), room, pattern=get_split(recipe.split).pattern)
    if seen.too_many:
        return None
    if not seen.any:
        raise RequestError("there is no text to train on")
    return [bytes(piece) for piece, _ in tokenizer.get_mergeable_ranks()]


class _Counted:
    """Texts passed on until they have more bytes than can be counted, or more blanks in a row than can be cut."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = texts
        self.too_many = self.any = False

    def __iter__(self) -> Iterator[str]:
        total = 0
        for text in self._texts:
            total += len(utf8(text))
            self.any |= bool(text)
            if total > _MOST_BYTES or _has_long_run(text):
                self.too_many = True
                return
            yield text


def _has_long_run(text: str) -> bool:
    return len(text) >= _LONGEST_RUN and _LONG_RUN.search(text) is not None


def fast(recipe: Recipe, model: Model) -> Fast | None:
    """tiktoken's encoder of these pieces."""
    try:
        import tiktoken
    except ImportError:
        return None
    assert isinstance(model, ByteBPE)
    split, ranks = get_split(recipe.split), model.ranks
    encoding = tiktoken.Encoding("split", pat_str=split.pattern, mergeable_ranks=ranks, special_tokens={})
    whole = tiktoken.Encoding("whole", pat_str=r"[\s\S]+", mergeable_ranks=ranks, special_tokens={})

    def encode(text: str) -> Sequence[int]:
        if _has_long_run(text):
            return [number for word in split.words(text) for number in whole.encode_ordinary(word)]
        return encoding.encode_ordinary(text)  # measured 1.4 times as fast as encode_to_numpy

    return encode


BYTE_BPE = Method(
    name="byte_bpe",
    summary="the most frequent pair of bytes is merged, again and again (GPT-2)",
    train=train,
    restore=restore,
    of_characters=False,
    fast=fast,
    options={},
)
