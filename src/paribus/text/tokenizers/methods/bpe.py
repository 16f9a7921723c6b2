"""BPE over characters, trained and encoded by the reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from paribus.errors import RequestError
from paribus.text.tokenizers.methods.base import Corpus, Method
from paribus.text.tokenizers.methods.coverage import COVERAGE, covered
from paribus.text.tokenizers.recipe import Recipe
from paribus.text.tokenizers.reference.bpe import BPE as Trained
from paribus.text.tokenizers.reference.bpe import train_bpe
from paribus.text.tokenizers.reference.pairs import Merge


class CharacterBPE:
    """The merges of the reference."""

    def __init__(self, trained: Trained) -> None:
        self.trained = trained
        self.pieces = trained.pieces

    def encode_word(self, word: str) -> list[int]:
        return self.trained.encode_word(word)

    takes = "dropout"

    def sample_word(self, word: str, *, amount: float, rng: np.random.Generator) -> list[int]:
        return self.trained.encode_word(word, dropout=amount, rng=rng)

    def state(self) -> dict[str, Any]:
        """The alphabet, and each merge as left id, right id and the count that it had."""
        merges = self.trained.merges
        alphabet = self.pieces[: len(self.pieces) - len(merges)]
        return {
            "alphabet": [piece.decode() for piece in alphabet],
            "merges": [[step.left, step.right, step.count] for step in merges],
        }


def restore(state: Mapping[str, Any]) -> CharacterBPE:
    pieces = [character.encode() for character in state["alphabet"]]
    merges, seen = [], set()
    for number, (left, right, count) in enumerate(state["merges"], 1):
        if not 0 <= min(left, right) <= max(left, right) < len(pieces):
            raise RequestError(f"merge {number:,} is of pieces that are not there yet: {left} and {right}")
        if (left, right) in seen:
            raise RequestError(f"merge {number:,} is there twice: {left} and {right}")
        seen.add((left, right))
        merges.append(Merge(left, right, len(pieces), count, count))
        pieces.append(pieces[left] + pieces[right])
    return CharacterBPE(Trained(pieces=tuple(pieces), merges=tuple(merges), unit="characters"))


def train(recipe: Recipe, corpus: Corpus, room: int) -> CharacterBPE:
    words, _ = covered(corpus.words(recipe), recipe)
    return CharacterBPE(train_bpe(words, vocab_size=room, unit="characters", min_count=recipe.min_count or 1))


BPE = Method(
    name="bpe",
    summary="the most frequent pair of characters is merged, again and again (Sennrich et al., 2016)",
    train=train,
    restore=restore,
    options={"coverage": COVERAGE},
)
