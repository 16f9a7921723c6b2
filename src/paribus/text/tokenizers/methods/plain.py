"""Vocabularies of bytes, of characters and of whole words: nothing is merged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paribus.text.tokenizers.methods.base import Corpus, Method
from paribus.text.tokenizers.methods.byte_bpe import BYTE_BPE, ByteBPE, restore
from paribus.text.tokenizers.methods.coverage import COVERAGE
from paribus.text.tokenizers.methods.segments import Segments, train_segments
from paribus.text.tokenizers.recipe import Recipe


def _bytes(recipe: Recipe, corpus: Corpus, room: int) -> ByteBPE:
    return ByteBPE([bytes((value,)) for value in range(256)])


def _one(word: str) -> list[str]:
    return [word]


def _segments(segment: Any) -> Any:
    def restored(state: Mapping[str, Any]) -> Segments:
        return Segments(segment, state["texts"])

    return restored


BYTE = Method(
    name="byte",
    summary="a token is a byte",
    train=_bytes,
    restore=restore,
    of_characters=False,
    fast=BYTE_BPE.fast,
)
CHAR = Method(
    name="char",
    summary="a token is a character",
    train=lambda recipe, corpus, room: train_segments(list, recipe, corpus, room),
    restore=_segments(list),
    options={"coverage": COVERAGE},
)
WORD = Method(
    name="word",
    summary="a token is a word as the split cuts it; the most frequent words, and characters for all others",
    train=lambda recipe, corpus, room: train_segments(_one, recipe, corpus, room),
    restore=_segments(_one),
    options={"coverage": COVERAGE},
)
