"""A tokenizer that was trained here: a recipe, a model of pieces, and the JSON file that keeps both.

Ids are those of the model's pieces, then the special tokens, of which the last ends a document. Special tokens are
never made of text.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from paribus.errors import RequestError
from paribus.text.tokenizers.fallback import Fallback
from paribus.text.tokenizers.model import Model, Sampled, Sampling, Weighted
from paribus.text.tokenizers.normalisers import get_normaliser
from paribus.text.tokenizers.protocol import TokenArray, id_dtype, known_ids
from paribus.text.tokenizers.recipe import END, Recipe
from paribus.text.tokenizers.splits import get_split
from paribus.text.tokenizers.unicode import utf8

FILE = "paribus-tokenizer.json"
#: Beside it, for a method that learns weights; the JSON file has their digest, so that neither changes alone.
WEIGHTS = "paribus-tokenizer.safetensors"
FORMAT = 1
#: Words whose ids are remembered; with more the oldest half is forgotten.
_REMEMBERED = 2**18

Fast = Callable[[str], Sequence[int]]


def digest_of(weights: bytes) -> str:
    return hashlib.sha256(weights).hexdigest()


class TrainedTokenizer:
    """Text to ids by a normaliser, a split and a model of words.

    `fast`, where a method has one, encodes a normalised text as splitting it and encoding each word would. `trained_on`
    says what it was made from.
    """

    def __init__(
        self,
        recipe: Recipe,
        model: Model,
        *,
        fast: Fast | None = None,
        trained_on: Mapping[str, Any] | None = None,
    ) -> None:
        self.recipe, self.model = recipe, model
        self.trained_on = dict(trained_on or {})
        self._fast = fast
        self._normaliser, self._split = get_normaliser(recipe.normaliser), get_split(recipe.split)
        self.pieces: tuple[bytes, ...] = (*model.pieces, *(b"" for _ in self.specials))
        self.vocab_size: int = len(self.pieces)
        self.end_of_document: int = self.vocab_size - 1
        lengths = np.array([len(piece) for piece in self.pieces], dtype=np.int64)
        lengths.flags.writeable = False
        self.byte_lengths: npt.NDArray[np.int64] = lengths
        self._remembered: dict[str, list[int]] = {}

    @property
    def specials(self) -> tuple[str, ...]:
        """Names of the special tokens, in the order of their ids; `END` is the last."""
        return (*self.recipe.specials, END)

    @cached_property
    def name(self) -> str:
        """Method, size and digest, as `byte_bpe-8192-0123456789ab`."""
        kept = {key: value for key, value in self.to_dict().items() if key != "trained_on"}
        text = json.dumps(kept, sort_keys=True, ensure_ascii=False)
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        return f"{self.recipe.method}-{self.vocab_size}-{digest}"

    @property
    def loses(self) -> tuple[str, ...]:
        unknown = isinstance(self.model, Fallback) and self.model.unknown == "token"
        return (
            *self._normaliser.loses,
            *self._split.loses,
            *(("characters that training did not see",) if unknown else ()),
        )

    def encode(self, text: str) -> TokenArray:
        """Ids of `text`, uint16 or uint32. Raises `RequestError` for a lone surrogate."""
        utf8(text)
        text = self._normaliser.apply(text)
        if self._fast is not None:
            return np.asarray(self._fast(text), dtype=id_dtype(self.vocab_size))
        remembered, ids = self._remembered, list[int]()
        for word in self._split.words(text):
            found = remembered.get(word)
            if found is None:
                found = self._encode_word(word)
            ids += found
        return np.array(ids, dtype=id_dtype(self.vocab_size))

    def sample(self, text: str, how: Sampling, *, rng: np.random.Generator) -> TokenArray:
        """Ids of `text` by a random way that decodes to the same; drawn from `rng` alone.

        Raises `RequestError` for a method that has no random encodings, or none of the kind asked for.
        """
        utf8(text)
        inner = self._inner
        if not isinstance(inner, Sampled):
            raise RequestError(f"the method {self.recipe.method} has no random encodings")
        amount = getattr(how, inner.takes)
        if amount is None:
            raise RequestError(f"the method {self.recipe.method} takes {inner.takes}")
        draw = functools.partial(inner.sample_word, amount=amount, rng=rng)

        ids: list[int] = []
        for word in self._split.words(self._normaliser.apply(text)):
            ids += self.model.cut(word, draw) if isinstance(self.model, Fallback) else draw(word)
        return np.array(ids, dtype=id_dtype(self.vocab_size))

    def words(self, text: str) -> list[tuple[str, list[int]]]:
        """Each word of the normalised text, with its ids."""
        return [(word, self._encode_word(word)) for word in self._split.words(self._normaliser.apply(text))]

    def decode(self, ids: Sequence[int] | TokenArray) -> str:
        """Text of `ids`, special tokens left out. Raises `RequestError` for an id outside [0, vocab_size)."""
        pieces = self.pieces
        return b"".join([pieces[number] for number in known_ids(ids, self).tolist()]).decode(
            "utf-8", "replace"
        )

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON has it; `restored` in `methods` reads it again."""
        weights = self._weights
        return {
            "format": FORMAT,
            "recipe": self.recipe.to_dict(),
            "model": dict(self.model.state()),
            **({} if weights is None else {"weights": digest_of(weights)}),
            "trained_on": self.trained_on,
        }

    def files(self) -> dict[str, bytes]:
        """The file that makes this tokenizer, and that of its weights, if it has any."""
        described = (json.dumps(self.to_dict(), ensure_ascii=False, indent=1) + "\n").encode()
        weights = self._weights
        return {FILE: described} if weights is None else {FILE: described, WEIGHTS: weights}

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as what its files hold: the splits and encoders of libraries cannot be."""
        return _unpickled, (json.dumps(self.to_dict()), self._weights)

    @property
    def _inner(self) -> Model:
        return self.model.inner if isinstance(self.model, Fallback) else self.model

    @cached_property
    def _weights(self) -> bytes | None:
        return self._inner.weights() if isinstance(self._inner, Weighted) else None

    def _encode_word(self, word: str) -> list[int]:
        ids = self.model.encode_word(word)
        if len(word) <= 64:
            if len(self._remembered) >= _REMEMBERED:
                for old in list(self._remembered)[: _REMEMBERED // 2]:
                    self._remembered.pop(old, None)  # another thread may have been here
            self._remembered[word] = ids
        return ids


def _unpickled(described: str, weights: bytes | None) -> TrainedTokenizer:
    from paribus.text.tokenizers.methods import restored  # which imports this module

    return restored(json.loads(described), weights)
