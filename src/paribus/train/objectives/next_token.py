"""Next-token prediction: every id is predicted from those before it. Nothing is drawn and no id is added."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from paribus.train.objectives.base import Examples, Ids, Lengths, Objective


@dataclass(frozen=True, kw_only=True)
class NextToken(Objective):
    """For a decoder: inputs w[:, :-1], targets w[:, 1:], all T of them scored."""

    name = "next_token"
    architecture = "decoder"
    paper = "Bengio et al. 2003; arXiv:1706.03762 (Vaswani et al. 2017) for the causal mask"
    min_seq_len = 1

    def vocab_size(self, tokenizer_vocab: int, *, seq_len: int) -> int:
        return tokenizer_vocab

    def _lengths(self, seq_len: int) -> Lengths:
        return Lengths(inputs=seq_len, scored=seq_len, scored_text=seq_len)

    def _examples(
        self, windows: Ids, *, lengths: Lengths, seed: int, step: int, tokenizer_vocab: int
    ) -> Examples:
        return Examples(
            inputs=np.ascontiguousarray(windows[:, :-1]), targets=np.ascontiguousarray(windows[:, 1:])
        )
