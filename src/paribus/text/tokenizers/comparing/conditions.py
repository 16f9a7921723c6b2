"""Under which conditions a tokenizer was made: what must be equal, or else said, before two are compared.

One algorithm can be made to look better by half through its split or normaliser alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from paribus.text.tokenizers.methods import get_method
from paribus.text.tokenizers.protocol import Tokenizer
from paribus.text.tokenizers.trained import TrainedTokenizer

#: What a comparison holds equal, by its name in a row's `conditions`.
MATCHED = ("vocab_size", "usable", "split", "normaliser", "unknown", "options")


def conditions_of(tokenizer: Tokenizer) -> dict[str, Any]:
    """Sizes and settings. `usable` = vocabulary - special tokens - ids for bytes: what learning could fill.

    `alphabet` are its single characters. Of a tokenizer whose recipe is not known, only the vocabulary is.
    """
    if not isinstance(tokenizer, TrainedTokenizer):
        unknown = dict.fromkeys(("specials", "bytes", "usable", "alphabet", *MATCHED[2:]))
        return {"method": None, "vocab_size": tokenizer.vocab_size, **unknown}
    recipe = tokenizer.recipe
    of_bytes = not get_method(recipe.method).of_characters or recipe.unknown == "bytes"
    number = 256 if of_bytes else 1  # the one token of all unknown characters
    learned = tokenizer.pieces[number : tokenizer.vocab_size - len(tokenizer.specials)]
    return {
        "method": recipe.method,
        "vocab_size": tokenizer.vocab_size,
        "asked": recipe.vocab_size,
        "specials": len(tokenizer.specials),
        "bytes": number if of_bytes else 0,
        "usable": len(learned),
        "alphabet": sum(len(piece.decode("utf-8", "replace")) == 1 for piece in learned),
        "split": recipe.split,
        "normaliser": recipe.normaliser,
        "unknown": recipe.unknown if get_method(recipe.method).of_characters else "bytes",
        "options": dict(recipe.options),
    }


def differing(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The matched conditions in which the rows differ, each with its value by label."""
    found = []
    for key in MATCHED:
        values = {row["label"]: row["conditions"][key] for row in rows}
        if len({repr(value) for value in values.values()}) > 1:
            found.append({"condition": key, "values": values})
    return found
