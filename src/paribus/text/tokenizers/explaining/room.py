"""How many ids a method has for its own pieces, in the words of somebody who gave a vocabulary's size."""

from __future__ import annotations

from paribus.errors import RequestError
from paribus.text.tokenizers.methods import get_method, room_of
from paribus.text.tokenizers.recipe import Recipe


def room_for(recipe: Recipe, least: int) -> int:
    """The ids that the recipe leaves to the model. Raises `RequestError` if they are fewer than `least`."""
    room = room_of(get_method(recipe.method), recipe)
    if room < least:
        raise RequestError(
            f"vocab_size {recipe.vocab_size:,} leaves {room:,} pieces, and {recipe.method} begins with {least:,} for this "
            f"text: give {recipe.vocab_size - room + least:,} or more"
        )
    return room
