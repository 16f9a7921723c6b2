"""How merges are applied to a word: which pair comes first, and what the word looks like after each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from paribus.text.tokenizers.explaining.writing import written
from paribus.text.tokenizers.methods.byte_bpe import ByteBPE
from paribus.text.tokenizers.reference.applying import merge_by_rank
from paribus.text.tokenizers.reference.bpe import BPE
from paribus.text.tokenizers.unicode import utf8


@dataclass(frozen=True)
class Applied:
    """A merge: its `rank` (the lowest of the word goes first), what it made, and the word's pieces after it."""

    rank: int
    left: str
    right: str
    made: str
    pieces: tuple[str, ...]


@dataclass(frozen=True)
class Merges:
    """A word as its smallest `units`, and the merges in their order. With `whole` the word is a token by itself, which is
    taken although merges do not lead there.
    """

    units: tuple[str, ...]
    steps: tuple[Applied, ...]
    whole: bool = False
    kind: str = field(default="merges", init=False)


Ranked = Callable[[Any, Any], tuple[float, Any] | None]


def joined_merges(model: ByteBPE, word: str) -> Merges:
    """Bytes, merged by the rank of what they join to, as tiktoken does."""
    ranks = model.ranks

    def ranked(left: bytes, right: bytes) -> tuple[float, bytes] | None:
        rank = ranks.get(left + right)
        return None if rank is None else (rank, left + right)

    found = traced([bytes((value,)) for value in utf8(word)], ranked, written)
    whole = utf8(word) in ranks and (found.steps[-1].pieces if found.steps else found.units) != (word,)
    return Merges(found.units, () if whole else found.steps, whole)


def character_merges(trained: BPE, word: str) -> Merges:
    """Characters, merged by the rank of the pair of ids."""
    ids = {piece: number for number, piece in reversed(list(enumerate(trained.pieces)))}
    ranks = trained.ranks
    return traced(
        [ids[utf8(letter)] for letter in word],
        lambda left, right: ranks.get((left, right)),
        lambda number: written(trained.pieces[number]),
    )


def string_merges(word: str, scores: Mapping[str, float], write: Callable[[str], str]) -> Merges:
    """Characters, merged by the score of the string that they join to, as SentencePiece does; a rank is a score below 0."""

    def ranked(left: str, right: str) -> tuple[float, str] | None:
        score = scores.get(left + right)
        return None if score is None else (-score, left + right)

    return traced(word, ranked, write)


def traced(symbols: Sequence[Any], ranked: Ranked, write: Callable[[Any], str]) -> Merges:
    """The merges that `merge_by_rank` makes of `symbols`, each of which is written by `write`."""
    row: list[Any] = list(symbols)
    steps: list[Applied] = []

    def told(place: int, merged: Any) -> None:
        second = next(number for number in range(place + 1, len(row)) if row[number] is not None)
        left, right = row[place], row[second]
        found = ranked(left, right)
        assert found is not None and found[1] == merged
        row[place], row[second] = merged, None
        now = tuple(write(symbol) for symbol in row if symbol is not None)
        steps.append(Applied(int(found[0]), write(left), write(right), write(merged), now))

    merge_by_rank(symbols, ranked, told=told)
    return Merges(tuple(map(write, symbols)), tuple(steps))
