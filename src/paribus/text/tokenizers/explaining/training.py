"""How a tokenizer comes to be, step by step, by the readable trainers that judge the fast ones."""

from __future__ import annotations

from typing import TypeAlias

from paribus.errors import RequestError, nearest
from paribus.text.tokenizers.explaining import cutting, pruning
from paribus.text.tokenizers.explaining.cutting import TopDownTraining, explain_topdown
from paribus.text.tokenizers.explaining.merge_methods import MERGE_METHODS
from paribus.text.tokenizers.explaining.merging import MergeTraining, explain_merges
from paribus.text.tokenizers.explaining.pruning import UnigramTraining, explain_unigram
from paribus.text.tokenizers.methods import Corpus, method_names
from paribus.text.tokenizers.recipe import Recipe

Training: TypeAlias = MergeTraining | TopDownTraining | UnigramTraining

EXPLAINED = (*MERGE_METHODS, cutting.METHOD, pruning.METHOD)


def check_method(name: str) -> None:
    """Raise `RequestError` for a method whose training has no steps to show."""
    if name in method_names() and name not in EXPLAINED:
        raise RequestError(
            f"the training of {name} has no steps to show; those that have: {', '.join(EXPLAINED)}"
        )
    if name not in EXPLAINED:
        raise RequestError(f"there is no method {name!r}: {nearest(name, EXPLAINED, in_order=True)}")


def explain_training(
    recipe: Recipe,
    corpus: Corpus,
    *,
    merges: int | None = None,
    first: int = 1,
    steps: int = 20,
    runners_up: int = 3,
    most_words: int = 6,
) -> Training:
    """Steps `first` to `first + steps - 1` of training by `recipe`, and no more than these are trained where it merges.

    With `merges`, that many instead of what `vocab_size` allows. The words of the corpus are shown in up to `most_words`
    places each. Raises `RequestError` for a method without steps, numbers below 1, `merges` where nothing is merged, and
    as the trainers do.
    """
    check_method(recipe.method)
    for name, number in (("steps", steps), ("first", first), ("merges", merges)):
        if number is not None and number < 1:
            raise RequestError(f"{name} is {number}: it is at least 1")
    row = MERGE_METHODS.get(recipe.method)
    if row is not None:
        if merges is not None:
            steps = min(steps, merges - first + 1)
            if steps < 1:
                raise RequestError(f"the first step to show is {first:,}, and there are {merges:,} merges")
        return explain_merges(
            row,
            recipe,
            corpus,
            first=first,
            steps=steps,
            runners_up=runners_up,
            most_words=most_words,
        )
    if merges is not None:
        raise RequestError(f"{recipe.method} merges nothing: give a vocabulary's size instead")
    explain = explain_topdown if recipe.method == cutting.METHOD else explain_unigram
    return explain(recipe, corpus, steps=steps, most_words=most_words)
