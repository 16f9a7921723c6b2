"""What a tokenizer is, for people: algorithm, normaliser, split, special tokens, losses."""

from __future__ import annotations

from typing import Any

from paribus.text.tokenizers.formats.sentencepiece_model import CONTROL, UNKNOWN
from paribus.text.tokenizers.of_json import JsonTokenizer
from paribus.text.tokenizers.of_sentencepiece import SentencePieceTokenizer
from paribus.text.tokenizers.protocol import Tokenizer
from paribus.text.tokenizers.trained import TrainedTokenizer


def describe(tokenizer: Tokenizer) -> dict[str, Any]:
    """Its facts by name, as plain data; how text is prepared stands under `normaliser` and `split`."""
    found: dict[str, Any] = {
        "name": tokenizer.name,
        "vocab_size": tokenizer.vocab_size,
        "end_of_document": tokenizer.end_of_document,
    }
    if isinstance(tokenizer, TrainedTokenizer):
        recipe = tokenizer.recipe
        found |= {
            "algorithm": recipe.method,
            "normaliser": recipe.normaliser,
            "split": recipe.split,
            "unknown_characters": recipe.unknown,
            "special_tokens": list(tokenizer.specials),
            "options": dict(recipe.options),
            "trained_on": tokenizer.trained_on,
        }
    elif isinstance(tokenizer, JsonTokenizer):
        found |= tokenizer.describe()
    elif isinstance(tokenizer, SentencePieceTokenizer):
        model = tokenizer.description
        found |= {
            "algorithm": f"{model.algorithm} (SentencePiece)",
            "normaliser": model.normaliser or "none",
            "split": "a space begins a word" if model.escape_whitespaces else "none",
            "byte_fallback": model.byte_fallback,
            "special_tokens": [piece.text for piece in model.pieces if piece.kind in (CONTROL, UNKNOWN)],
        }
    else:
        found |= {"algorithm": "bytes", "normaliser": "none", "split": "none", "special_tokens": []}
    return found | {"loses": list(tokenizer.loses)}
