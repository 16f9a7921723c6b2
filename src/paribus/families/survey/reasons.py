"""Why a model type could not be built or run, in a few plain words where they are known."""

from __future__ import annotations

import re

#: What an error says, and what that means for someone who reads the table.
_PLAIN = (
    (r"requires the (\w+) library", r"needs the library \1"),
    (r"exactly one of input_features or", "takes sound, not text alone"),
    (
        r"data-dependent|Cannot copy out of meta|split_with_sizes|data-independent",
        "its shapes hang on numbers, which a pass without any does not have",
    ),
    (r"'NoneType' object is not subscriptable", "its default config leaves its layers to the checkpoint"),
    (r"NoneType", "its default config leaves sizes to the checkpoint"),
    (r"'(\w+)' object has no attribute '(\w+)'", r"its default \1 has no `\2`"),
    (r"must be \S+, got|is different than", "its own class refuses its default config"),
)


def told(error: Exception) -> str:
    """The reason in plain words, and the error itself in brackets."""
    text = " ".join(str(error).split())
    short = f"{type(error).__name__}: {text if len(text) <= 160 else text[:157] + '...'}"
    found = ((re.search(said, text), means) for said, means in _PLAIN)
    plain = next((match.expand(means) for match, means in found if match), None)
    return f"{plain} ({short})" if plain else short
