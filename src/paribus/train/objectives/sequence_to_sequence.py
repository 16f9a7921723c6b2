"""A source is read and a target written: the two halves of a window, or pairs that somebody gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from paribus.errors import RequestError
from paribus.text.tokenizers.protocol import TokenArray
from paribus.train.objectives.base import IGNORE, Examples, Ids, Lengths, Objective, Valid
from paribus.train.objectives.extra_ids import end_id, start_id


@dataclass(frozen=True, kw_only=True)
class SequenceToSequence(Objective):
    """For an encoder-decoder: the first T // 2 of the tokens w[:, :-1] are the source, the other T - T // 2 the target.

    All of the target is scored; inputs are the target shifted right behind a start id. Neither half gets an end
    id, as the text does not end there; the id exists, so that the model can go on with `pairs`.
    """

    name = "sequence_to_sequence"
    architecture = "encoder_decoder"
    paper = "arXiv:1409.3215 (Sutskever et al. 2014); arXiv:1706.03762 (Vaswani et al. 2017)"

    def vocab_size(self, tokenizer_vocab: int, *, seq_len: int) -> int:
        return end_id(tokenizer_vocab) + 1

    def _lengths(self, seq_len: int) -> Lengths:
        target = seq_len - seq_len // 2
        return Lengths(inputs=target, source=seq_len // 2, scored=target, scored_text=target)

    def _examples(
        self, windows: Ids, *, lengths: Lengths, seed: int, step: int, tokenizer_vocab: int
    ) -> Examples:
        text = windows[:, :-1]
        split = text.shape[1] // 2
        targets = np.ascontiguousarray(text[:, split:])
        inputs = np.empty_like(targets)
        inputs[:, 0], inputs[:, 1:] = start_id(tokenizer_vocab), targets[:, :-1]
        return Examples(inputs=inputs, targets=targets, source=np.ascontiguousarray(text[:, :split]))


def pairs(
    sources: Sequence[Sequence[int] | TokenArray],
    targets: Sequence[Sequence[int] | TokenArray],
    *,
    tokenizer_vocab: int,
    source_length: int | None = None,
    target_length: int | None = None,
) -> Examples:
    """Examples of B given pairs of ids in [0, tokenizer_vocab), padded on the right, with both `valid` masks.

    A source of s ids becomes s + 1 with its end id, a target of t ids becomes t + 1 scored ones with its own.
    `source_length` and `target_length` are the padded lengths S and L, by default those of the longest; padding
    shows the end id and its targets are `IGNORE`. Raises `RequestError` for no pairs, sources and targets that
    differ in number, pairs that do not fit, and ids outside the tokenizer's: nothing is cut off in silence.

    >>> pairs([[5, 6]], [[7]], tokenizer_vocab=10, source_length=4).source
    array([[ 5,  6, 11, 11]])
    """
    if len(sources) == 0 or len(sources) != len(targets):
        raise RequestError(
            f"there are {len(sources)} sources and {len(targets)} targets: give as many, at least one"
        )
    end = end_id(tokenizer_vocab)
    source, source_valid = _closed(sources, "source", tokenizer_vocab, source_length)
    written, valid = _closed(targets, "target", tokenizer_vocab, target_length)
    inputs = np.full_like(written, end)
    inputs[:, 0] = start_id(tokenizer_vocab)
    inputs[:, 1:][valid[:, 1:]] = written[:, :-1][valid[:, 1:]]
    return Examples(
        inputs=inputs,
        targets=np.where(valid, written, IGNORE),
        inputs_valid=valid,
        source=source,
        source_valid=source_valid,
    )


def _closed(
    texts: Sequence[Sequence[int] | TokenArray], what: str, tokenizer_vocab: int, length: int | None
) -> tuple[Ids, Valid]:
    """Ids [B, length], each text followed by end ids, and what of it is text or its first end id."""
    longest = max(len(text) for text in texts) + 1
    if length is not None and longest > length:
        raise RequestError(
            f"the longest {what} has {longest - 1} ids and one for its end, and {what}_length is {length}"
        )
    ids = np.full((len(texts), length or longest), end_id(tokenizer_vocab), dtype=np.int64)
    for row, text in zip(ids, texts, strict=True):
        given = np.asarray(text, dtype=np.int64)
        if given.size and not (given.min() >= 0 and given.max() < tokenizer_vocab):
            raise RequestError(
                f"a {what} has ids from {given.min()} to {given.max()}, and the tokenizer's go from 0 to "
                f"{tokenizer_vocab - 1}"
            )
        row[: len(given)] = given
    counts = np.array([len(text) + 1 for text in texts])
    return ids, np.arange(ids.shape[1]) < counts[:, None]
