"""What is known of a text without any context: how often each token occurs.

A model that does no better than this has learned nothing from what came before, so it is the line between
"learned" and "stuck". No model and no windows here.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from paribus.text.data.dataset import Dataset
from paribus.text.data.shards import Split

_TOKENS_AT_ONCE = 2**20


def unigram_bits_per_byte(dataset: Dataset) -> float:
    """Bits per byte of all held-out text under the token frequencies of the training split.

    -sum over held-out tokens t of log2((count(t) + 1) / (num_tokens + vocab_size)), over the held-out bytes;
    the one added (Laplace) keeps a token that training has not seen from costing infinitely much. Ends of
    documents are tokens to be predicted and have no bytes, as in a model's score. Memory: 1 M tokens, however
    long the text is.
    """
    vocab_size = dataset.open_tokenizer().vocab_size
    counts = _counts(dataset.train, vocab_size) + 1
    bits = np.log2(counts.sum()) - np.log2(counts)
    return float(_counts(dataset.heldout, vocab_size) @ bits) / dataset.heldout.num_bytes


def _counts(split: Split, vocab_size: int) -> npt.NDArray[np.int64]:
    counts = np.zeros(vocab_size, dtype=np.int64)
    for start in range(0, split.num_tokens, _TOKENS_AT_ONCE):
        tokens = split.read(start, min(_TOKENS_AT_ONCE, split.num_tokens - start))
        counts += np.bincount(tokens, minlength=vocab_size)
    return counts
