"""The methods by which a tokenizer can be trained, and the one way to train and to read again.

A method joins by one row in `METHODS`, or from elsewhere through the entry-point group `paribus.tokenizer_methods`, of
which each name is that of the `Method` it leads to. So methods that take a network come from `paribus.train`, which this
wing may not import.
"""

from __future__ import annotations

import functools
import importlib.metadata
from collections.abc import Mapping
from typing import Any

from paribus.errors import RequestError, nearest
from paribus.text.segmenting.methods import METHODS as SEGMENTERS
from paribus.text.tokenizers.fallback import Fallback, characters
from paribus.text.tokenizers.methods.base import Corpus, Method
from paribus.text.tokenizers.methods.bpe import BPE
from paribus.text.tokenizers.methods.byte_bpe import BYTE_BPE
from paribus.text.tokenizers.methods.plain import BYTE, CHAR, WORD
from paribus.text.tokenizers.methods.segments import segmented_method
from paribus.text.tokenizers.methods.sentencepiece import SENTENCEPIECE_BPE, UNIGRAM
from paribus.text.tokenizers.methods.wordpiece import WORDPIECE, WORDPIECE_LIKELIHOOD, WORDPIECE_TOPDOWN
from paribus.text.tokenizers.model import Model
from paribus.text.tokenizers.recipe import Recipe
from paribus.text.tokenizers.trained import TrainedTokenizer, digest_of

__all__ = [
    "METHODS",
    "Corpus",
    "Method",
    "get_method",
    "method_names",
    "restored",
    "room_of",
    "train_tokenizer",
]

#: Segmenters whose segments are pieces; `characters` is the method `char`.
_SEGMENTED = [segmented_method(row, name) for name, row in SEGMENTERS.items() if name != "characters"]
METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        BYTE_BPE,
        BPE,
        WORDPIECE,
        WORDPIECE_LIKELIHOOD,
        WORDPIECE_TOPDOWN,
        UNIGRAM,
        SENTENCEPIECE_BPE,
        BYTE,
        CHAR,
        WORD,
        *_SEGMENTED,
    )
}


ENTRY_POINT_GROUP = "paribus.tokenizer_methods"


def method_names() -> tuple[str, ...]:
    """Names of all methods; those that come from elsewhere are not loaded for it."""
    return (*METHODS, *_offered())


def get_method(name: str) -> Method:
    """The method called `name`. Raises `RequestError` for an unknown one."""
    if name in METHODS:
        return METHODS[name]
    if name not in _offered():
        raise RequestError(f"there is no method {name!r}: {nearest(name, method_names())}")
    found = _offered()[name].load()
    if not isinstance(found, Method) or found.name != name:
        raise RequestError(f"the entry point {name!r} of {ENTRY_POINT_GROUP} leads to no method of that name")
    return found


@functools.cache
def _offered() -> Mapping[str, importlib.metadata.EntryPoint]:
    return {entry.name: entry for entry in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)}


def train_tokenizer(
    recipe: Recipe, corpus: Corpus, *, trained_on: Mapping[str, Any] | None = None
) -> TrainedTokenizer:
    """A tokenizer by `recipe` from `corpus`. It may have fewer pieces than asked for, where the text has no more.

    Raises `RequestError` for an unknown method or option, an empty corpus and a vocabulary that is too small.
    """
    method = get_method(recipe.method)
    allowed = method.options or {}
    if unknown := sorted(set(recipe.options) - set(allowed)):
        known = nearest(unknown[0], allowed) if allowed else "it has none"
        raise RequestError(f"the method {method.name} has no option {unknown[0]!r}: {known}")
    room = room_of(method, recipe)
    return _put_together(method, recipe, method.train(recipe, corpus, room), trained_on or {})


def room_of(method: Method, recipe: Recipe) -> int:
    """How many ids are left for the method's own pieces. Raises `RequestError` if there are none."""
    before = (256 if recipe.unknown == "bytes" else 1) if method.of_characters else 0
    room = recipe.vocab_size - len(recipe.specials) - 1 - before
    if room < 1:
        raise RequestError(
            f"vocab_size {recipe.vocab_size:,} is too small for {method.name}: {before + len(recipe.specials) + 1:,} ids "
            "are taken by " + ("the bytes and special tokens" if before == 256 else "special tokens")
        )
    return room


def restored(content: Mapping[str, Any], weights: bytes | None = None) -> TrainedTokenizer:
    """The tokenizer of which `content` is the `to_dict()`, with the weights that it had, if any.

    Raises `RequestError` for weights that are not those.
    """
    fields = dict(content["recipe"])
    recipe = Recipe(**{**fields, "specials": tuple(fields["specials"])})
    method = get_method(recipe.method)
    state = dict(content["model"])
    if (digest := content.get("weights")) is not None:
        if weights is None or digest_of(weights) != digest:
            raise RequestError("its weights are not those that it was written with")
        state["weights"] = weights
    return _put_together(method, recipe, method.restore(state), content["trained_on"])


def _put_together(
    method: Method, recipe: Recipe, model: Model, trained_on: Mapping[str, Any]
) -> TrainedTokenizer:
    if method.of_characters:
        model = Fallback(model, unknown=recipe.unknown, known=characters(model.pieces))
    fast = method.fast(recipe, model) if method.fast else None
    return TrainedTokenizer(recipe, model, fast=fast, trained_on=trained_on)
