"""Ids that an objective adds to the tokenizer's V own ids, 0 to V - 1.

encoder          V mask
encoder_decoder  V start, V + 1 end, V + 2 + i sentinel i

Sentinels stand last, so that no id depends on seq_len, and start and end are the same for every objective of an
encoder-decoder: a model pre-trained by one can be trained further by another.
"""

from __future__ import annotations


def mask_id(tokenizer_vocab: int) -> int:
    """The id that stands where an encoder is to say what stood there."""
    return tokenizer_vocab


def start_id(tokenizer_vocab: int) -> int:
    """The first id that a decoder with a source reads."""
    return tokenizer_vocab


def end_id(tokenizer_vocab: int) -> int:
    """The id that closes a source and a target."""
    return tokenizer_vocab + 1


def sentinel_id(tokenizer_vocab: int, index: int = 0) -> int:
    """The id that stands for the cut-out span number `index`, counted from 0."""
    return tokenizer_vocab + 2 + index
