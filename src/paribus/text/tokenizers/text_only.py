"""A `tokenizers` library's tokenizer whose special tokens no text becomes.

The library's own switch for that leaves special tokens out when it looks for added tokens in a text. A model that has a
piece of the same name finds it all the same: Unigram (T5, XLM-R) always, the others where the split leaves it whole.
"""

from __future__ import annotations

import json
import uuid
from typing import Any


def text_only(tokenizer: Any) -> Any:
    """`tokenizer`, or a copy in which such pieces keep their ids and have names that nobody can guess.

    It is to be used with `encode_special_tokens`, which is no part of what a tokenizer keeps.
    """
    tokenizer.encode_special_tokens = True
    added = tokenizer.get_added_tokens_decoder().values()
    names = {token.content for token in added if token.special and _is_piece(tokenizer, token.content)}
    if not names:
        return tokenizer
    content = json.loads(tokenizer.to_str())
    new = {name: f"{name}{uuid.uuid4().hex}" for name in names}
    for token in content["added_tokens"]:
        token["content"] = new.get(token["content"], token["content"])
    model = content["model"]
    if "unk_token" in model:
        model["unk_token"] = new.get(model["unk_token"], model["unk_token"])
    if isinstance(model["vocab"], list):
        model["vocab"] = [[new.get(piece, piece), score] for piece, score in model["vocab"]]
    else:
        model["vocab"] = {new.get(piece, piece): number for piece, number in model["vocab"].items()}
    if "merges" in model:
        model["merges"] = [pair for pair in model["merges"] if names.isdisjoint({*pair, "".join(pair)})]
    return type(tokenizer).from_str(json.dumps(content))


def _is_piece(tokenizer: Any, name: str) -> bool:
    """Whether the model may find `name` in a text."""
    return tokenizer.model.token_to_id(name) is not None
