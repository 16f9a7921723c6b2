"""BERT's masked language model: say what stood at a few positions, of which most are hidden.

Beside the paper: it draws each position on its own, so its count varies; here each row has the same number.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from paribus.errors import RequestError
from paribus.train.objectives.base import IGNORE, Examples, Ids, Lengths, Objective
from paribus.train.objectives.draws import chosen, uniforms
from paribus.train.objectives.extra_ids import mask_id

_MASKED = 0.8  # of the chosen positions; the paper's shares, section 3.1 and appendix A.1
_RANDOM = 0.1


@dataclass(frozen=True, kw_only=True)
class MaskedToken(Objective):
    """For an encoder: k = round(share * T) of the T tokens w[:, :-1] are scored, within 1 <= k <= T - 1.

    Each set of k positions is equally likely. Of these positions 80 % show the mask id, 10 % a uniformly random
    id of the tokenizer (which may be the right one), 10 % the text; targets elsewhere are `IGNORE`. Halves round
    to even. Source: Devlin et al. 2019, section 3.1.
    """

    name = "masked_token"
    architecture = "encoder"
    paper = "arXiv:1810.04805 (Devlin et al. 2019)"

    share: float = 0.15

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise RequestError(f"share of masked_token lies between 0 and 1; it is {self.share}")

    def vocab_size(self, tokenizer_vocab: int, *, seq_len: int) -> int:
        return mask_id(tokenizer_vocab) + 1

    def _lengths(self, seq_len: int) -> Lengths:
        scored = min(max(round(self.share * seq_len), 1), seq_len - 1)
        return Lengths(inputs=seq_len, scored=scored, scored_text=scored)

    def _examples(
        self, windows: Ids, *, lengths: Lengths, seed: int, step: int, tokenizer_vocab: int
    ) -> Examples:
        text = windows[:, :-1]
        rows, length = text.shape
        scored = chosen(rows, length, lengths.scored, seed=seed, step=step, purpose="scored positions")
        fate = uniforms(rows, length, seed=seed, step=step, purpose="mask, random or text")
        token = uniforms(rows, length, seed=seed, step=step, purpose="random token")
        hidden = np.where(
            fate < _MASKED,
            mask_id(tokenizer_vocab),
            np.where(fate < _MASKED + _RANDOM, (token * tokenizer_vocab).astype(np.int64), text),
        )
        return Examples(inputs=np.where(scored, hidden, text), targets=np.where(scored, text, IGNORE))
