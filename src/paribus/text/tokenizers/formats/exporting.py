"""A tokenizer that was trained here, in the files of other libraries: what they then encode is what we encode.

A tokenizer that a format cannot express is refused with what it lacks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from paribus.errors import RequestError, nearest
from paribus.text.tokenizers.formats.exact import check_specials
from paribus.text.tokenizers.formats.json_models import json_model
from paribus.text.tokenizers.formats.tiktoken_ranks import write_ranks
from paribus.text.tokenizers.formats.to_sentencepiece import sentencepiece_model
from paribus.text.tokenizers.methods.byte_bpe import ByteBPE
from paribus.text.tokenizers.recipe import END
from paribus.text.tokenizers.splits import get_split
from paribus.text.tokenizers.trained import TrainedTokenizer

#: What `exported` writes: the name of the format, and the file that other libraries look for.
FORMATS = {
    "tokenizer.json": "tokenizer.json",
    "sentencepiece": "tokenizer.model",
    "tiktoken": "ranks.tiktoken",
}
_NORMALISERS: Mapping[str, Any] = {
    "none": None,
    "nfc": {"type": "NFC"},
    "nfkc": {"type": "NFKC"},
    "lowercase": {"type": "Lowercase"},
}


def exported(tokenizer: TrainedTokenizer, format: str) -> dict[str, bytes]:
    """The files of `tokenizer` in a format of `FORMATS`, by name.

    Raises `RequestError` for an unknown format and for a tokenizer that it cannot express.
    """
    if format not in FORMATS:
        raise RequestError(f"there is no format {format!r}: {nearest(format, FORMATS)}")
    if format == "tiktoken":
        return {FORMATS[format]: _ranks(tokenizer)}
    if format == "sentencepiece":
        return {FORMATS[format]: sentencepiece_model(tokenizer)}
    content = tokenizer_json(tokenizer)
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": END}
    if content["added_tokens"][0]["id"] == 0:
        config["unk_token"] = content["added_tokens"][0]["content"]
    return {FORMATS[format]: _as_json(content), "tokenizer_config.json": _as_json(config)}


def tokenizer_json(tokenizer: TrainedTokenizer) -> dict[str, Any]:
    """What a `tokenizer.json` of the `tokenizers` library says for this tokenizer."""
    recipe = tokenizer.recipe
    if recipe.normaliser not in _NORMALISERS:
        raise RequestError(f"tokenizer.json has no normaliser {recipe.normaliser}")
    made = json_model(tokenizer)
    check_specials(_names(made.model["vocab"]), tokenizer.specials, format="tokenizer.json")
    loses = bool(get_split(recipe.split).loses)
    split = {
        "type": "Split",
        "pattern": {"Regex": get_split(recipe.split).pattern},
        "behavior": "Removed" if loses else "Isolated",
        "invert": loses,
    }
    specials = list(enumerate(tokenizer.specials, len(tokenizer.model.pieces)))
    if made.unknown is not None:
        specials.insert(0, (0, made.unknown))
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added(number, name) for number, name in specials],
        "normalizer": _NORMALISERS[recipe.normaliser],
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, *made.before]}
        if made.before
        else split,
        "post_processor": None,
        "decoder": made.decoder,
        "model": made.model,
    }


def _names(vocabulary: Mapping[str, int] | Sequence[Sequence[Any]]) -> set[str]:
    return set(vocabulary) if isinstance(vocabulary, Mapping) else {name for name, _ in vocabulary}


def _added(number: int, name: str) -> dict[str, Any]:
    others = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": number, "content": name, **others, "special": True}


def _ranks(tokenizer: TrainedTokenizer) -> bytes:
    if not isinstance(tokenizer.model, ByteBPE):
        raise RequestError(f"tiktoken has byte-level BPE only, and this is {tokenizer.recipe.method}")
    if tokenizer.recipe.normaliser != "none":
        raise RequestError(
            f"tiktoken has no normaliser, so it cannot express {tokenizer.recipe.normaliser}: train it with none"
        )
    return write_ranks(tokenizer.model.pieces)


def _as_json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode()
