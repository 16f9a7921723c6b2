"""Byte pair encoding over characters or bytes: merge the most frequent pair, again and again.

Sennrich et al., 2016 (arXiv:1508.07909); over bytes, Radford et al., 2019 (GPT-2). Exact to the tie rule: of the pairs
with the largest count, the one with the smallest (left id, right id). The rules of SentencePiece's BPE differ and stand
in `sentencepiece_bpe.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from paribus.errors import RequestError, nearest, shown
from paribus.text.tokenizers.reference.applying import merge_bytes, merge_ids
from paribus.text.tokenizers.reference.choosing import ByCount, grow
from paribus.text.tokenizers.reference.pairs import Merge, Pairs
from paribus.text.tokenizers.reference.words import byte_values, checked, code_points
from paribus.text.tokenizers.unicode import LETTER_OF_BYTE, utf8

ORDERS = ("value", "gpt2")
UNITS = ("bytes", "characters")


@dataclass(frozen=True)
class BPE:
    """A vocabulary of merges. Ids: special tokens, the alphabet, then what each merge made, in order.

    `pieces` [vocab_size] are the bytes that each id stands for, none for a special token; `merges` is the trace of
    training. `unknown` is the id for a character outside the alphabet; a byte is never outside.
    """

    pieces: tuple[bytes, ...]
    merges: tuple[Merge, ...]
    unit: str
    specials: tuple[str, ...] = ()
    unknown: int | None = None

    @property
    def vocab_size(self) -> int:
        return len(self.pieces)

    @cached_property
    def ranks(self) -> dict[tuple[int, int], tuple[int, int]]:
        """(rank, merged id) of each pair of ids that is a merge."""
        return {(step.left, step.right): (rank, step.made) for rank, step in enumerate(self.merges)}

    @cached_property
    def _ids(self) -> dict[bytes, int]:
        return {piece: number for number, piece in enumerate(self.pieces) if piece}

    def encode_word(
        self,
        word: str,
        *,
        by: str = "pair",
        dropout: float = 0.0,
        rng: np.random.Generator | None = None,
    ) -> list[int]:
        """Ids of one word. `by` "pair" takes the lowest merge of two ids first, as HF tokenizers do; "bytes" the lowest
        id of joined bytes, as tiktoken does. `dropout` passes over merges at random (see `merge_by_rank`).

        Raises `RequestError` for a character that the vocabulary lacks when there is no unknown token.
        """
        if by == "bytes" and self.unit == "bytes":
            return merge_bytes(utf8(word), self._ids, dropout=dropout, rng=rng)
        if by != "pair":
            raise RequestError(
                f"there is no way {by!r} to rank merges over {self.unit}: known: pair, bytes (over bytes only)"
            )
        units = [bytes((value,)) for value in utf8(word)] if self.unit == "bytes" else [utf8(c) for c in word]
        return merge_ids([self._id(unit) for unit in units], self.ranks, dropout=dropout, rng=rng)

    def _id(self, unit: bytes) -> int:
        found = self._ids.get(unit, self.unknown)
        if found is None:
            raise RequestError(
                f"the character {shown(unit.decode())!r} is not in the vocabulary, which has no unknown token"
            )
        return found


def train_bpe(
    words: Mapping[str, int],
    *,
    vocab_size: int,
    unit: str = "bytes",
    order: str = "value",
    min_count: int = 1,
    specials: Sequence[str] = (),
    unknown: str | None = None,
    runners_up: int = 0,
) -> BPE:
    """BPE of `vocab_size` ids from words and their counts; fewer when no pair occurs `min_count` times any more.

    `unit` is "bytes" or "characters". `order` is how bytes get their ids, which decides ties: "value", 0 to 255 as in
    rustbpe and tiktoken, or "gpt2", by the character that stands for each byte in GPT-2's files, as in HF tokenizers;
    characters are sorted by code point. `unknown` is one of `specials`. Each merge in the trace has the `runners_up`
    next best pairs. Raises `RequestError` for no words, or a vocabulary smaller than its alphabet.
    """
    if unit not in UNITS:
        raise RequestError(f"there is no unit {unit!r}: {nearest(unit, UNITS)}")
    if order not in ORDERS:
        raise RequestError(f"there is no order {order!r} of bytes: {nearest(order, ORDERS)}")
    if unknown is not None and unknown not in specials:
        raise RequestError(
            f"the unknown token {unknown!r} must be one of the special tokens {list(specials)}"
        )
    kept = checked(words)
    if unit == "bytes":
        symbols, lengths = byte_values(list(kept)), [len(utf8(word)) for word in kept]
        alphabet = (
            list(range(256)) if order == "value" else sorted(range(256), key=LETTER_OF_BYTE.__getitem__)
        )
        units = [bytes((value,)) for value in alphabet]
    else:
        symbols, lengths = code_points(list(kept)), [len(word) for word in kept]
        alphabet = np.unique(symbols).tolist()
        units = [chr(value).encode() for value in alphabet]
    pieces = [b""] * len(specials) + units
    if vocab_size < len(pieces):
        raise RequestError(
            f"a vocabulary of {vocab_size:,} is too small: {len(specials)} special tokens and {len(units):,} {unit} "
            f"make {len(pieces):,}"
        )
    ids = np.zeros(max(alphabet) + 1, dtype=np.int64)
    ids[alphabet] = np.arange(len(specials), len(pieces))
    pairs = Pairs(ids[symbols], np.array(lengths), np.array(list(kept.values())))

    def take(left: int, right: int) -> bool:
        pieces.append(pieces[left] + pieces[right])
        return True

    # Ties go to the smaller key, so to the smallest (left id, right id).
    merges = grow(
        pairs, ByCount(pairs, max(1, min_count)), take, ids=(len(pieces), vocab_size), runners_up=runners_up
    )
    return BPE(
        pieces=tuple(pieces),
        merges=merges,
        unit=unit,
        specials=tuple(specials),
        unknown=None if unknown is None else list(specials).index(unknown),
    )
