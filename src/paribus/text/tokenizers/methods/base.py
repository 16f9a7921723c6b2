"""What a method of making tokenizers is, and the text that it is made from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from paribus.text.tokenizers.model import Model
from paribus.text.tokenizers.normalisers import get_normaliser
from paribus.text.tokenizers.recipe import Recipe
from paribus.text.tokenizers.splits import get_split
from paribus.text.tokenizers.trained import Fast
from paribus.text.tokenizers.words import count_words


class Corpus:
    """The text that a tokenizer is trained on. `texts` gives its documents, anew each time that it is called."""

    def __init__(self, texts: Callable[[], Iterable[str]]) -> None:
        self._texts = texts
        self._words: dict[tuple[str, str], dict[str, int]] = {}

    def texts(self, recipe: Recipe) -> Iterable[str]:
        """The documents, normalised."""
        return map(get_normaliser(recipe.normaliser).apply, self._texts())

    def words(self, recipe: Recipe) -> dict[str, int]:
        """Words and their counts under the recipe's normaliser and split, counted once."""
        key = (recipe.normaliser, recipe.split)
        if key not in self._words:
            self._words[key] = count_words(
                self._texts(), normaliser=get_normaliser(recipe.normaliser), split=get_split(recipe.split)
            )
        return self._words[key]


@dataclass(frozen=True, kw_only=True)
class Method:
    """A way to make a tokenizer.

    `train(recipe, corpus, room)` makes a model of at most `room` pieces, `restore(state)` one from its `state()`. With
    `of_characters` the model may lack characters, and ids for these are put before its own. `fast(recipe, model)`, if
    any, gives an encoder of whole texts; `options` are what the method takes beside, with what they are by default.
    """

    name: str
    summary: str
    train: Callable[[Recipe, Corpus, int], Model]
    restore: Callable[[Mapping[str, Any]], Model]
    of_characters: bool = True
    fast: Callable[[Recipe, Model], Fast | None] | None = None
    options: Mapping[str, Any] = None  # type: ignore[assignment]

    def option(self, recipe: Recipe, name: str) -> Any:
        """What the recipe gives for an option, or its default."""
        return recipe.options.get(name, self.options[name])
