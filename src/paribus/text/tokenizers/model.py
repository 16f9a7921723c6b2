"""What a trained method is inside a tokenizer: pieces, and how a word is made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np


class Model(Protocol):
    """Words to ids of `pieces`.

    `pieces` [V] are the bytes of text that each id stands for; none stand for an unknown character.
    """

    @property
    def pieces(self) -> Sequence[bytes]: ...

    def encode_word(self, word: str) -> list[int]:
        """Ids whose pieces join to the UTF-8 of `word`, unless the method loses some of it."""

    def state(self) -> Mapping[str, Any]:
        """All that the method's `restore` needs, as JSON has it, but for the `weights()` of one that is `Weighted`."""


@runtime_checkable
class Weighted(Protocol):
    """A model that may have what JSON does not hold. Its `restore` finds these bytes in the state, under `weights`."""

    def weights(self) -> bytes | None: ...


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How a word is encoded at random. `dropout` passes over merges with that probability (arXiv:1910.13267); `alpha`
    draws a way to cut it in proportion to its probability to that power (arXiv:1804.10959).
    """

    dropout: float | None = None
    alpha: float | None = None


@runtime_checkable
class Sampled(Protocol):
    """A model that can encode at random. `takes` names the field of `Sampling` that it goes by."""

    takes: str

    def sample_word(self, word: str, *, amount: float, rng: np.random.Generator) -> list[int]:
        """Ids of `word` by a random way that joins to it."""
