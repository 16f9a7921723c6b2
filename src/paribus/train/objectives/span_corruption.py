"""T5's span corruption: spans are cut out of the text, and the decoder writes what was cut.

text     a b c d e f g h          spans: c d, h
source   a b <0> e f g <1> end
targets  <0> c d <1> h end        inputs: start <0> c d <1> h

The text always starts with a gap and ends with a span, as in T5's own code; so the first token is never
scored and the last one always, and a text so short that it has one span (T up to 30) loses its end. That
code, as here, ends the targets with `end`; the paper's figure shows a last sentinel there, the same token by
another name.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from paribus.errors import RequestError
from paribus.train.objectives.base import Examples, Ids, Lengths, Objective, Valid
from paribus.train.objectives.draws import chosen
from paribus.train.objectives.extra_ids import end_id, sentinel_id, start_id


@dataclass(frozen=True, kw_only=True)
class SpanCorruption(Objective):
    """For an encoder-decoder: N of the T tokens w[:, :-1] are cut out, in n spans.

    N = round(noise_density * T), within 1 <= N <= T - 1, and n = round(N / mean_span), within
    1 <= n <= min(N, T - N); halves round to even. Each partition of the N tokens into n spans and of the T - N
    others into n gaps is equally likely. With n sentinels, each standing once in either, and an end id:

        source   T - N + n + 1
        targets  N + n + 1, all scored; inputs are these shifted right behind a start id

    T = 568 gives 512 and 114, the lengths of Shazeer 2020. Source: Raffel et al. 2020, section 3.1.4.
    """

    name = "span_corruption"
    architecture = "encoder_decoder"
    paper = "arXiv:1910.10683 (Raffel et al. 2020)"

    noise_density: float = 0.15
    mean_span: float = 3.0

    def __post_init__(self) -> None:
        if not 0 < self.noise_density < 1:
            raise RequestError(
                f"noise_density of span_corruption lies between 0 and 1; it is {self.noise_density}"
            )
        if not 1 <= self.mean_span < math.inf:
            raise RequestError(f"mean_span of span_corruption is at least 1 token; it is {self.mean_span}")

    def noise(self, seq_len: int) -> tuple[int, int]:
        """N tokens in n spans that are cut out of a text of seq_len tokens."""
        tokens = min(max(round(self.noise_density * seq_len), 1), seq_len - 1)
        return tokens, min(max(round(tokens / self.mean_span), 1), seq_len - tokens)

    def vocab_size(self, tokenizer_vocab: int, *, seq_len: int) -> int:
        self.lengths(seq_len)  # refuses a seq_len that is too short
        return sentinel_id(tokenizer_vocab, self.noise(seq_len)[1])

    def _lengths(self, seq_len: int) -> Lengths:
        tokens, spans = self.noise(seq_len)
        written = tokens + spans + 1
        return Lengths(
            inputs=written, source=seq_len - tokens + spans + 1, scored=written, scored_text=tokens
        )

    def _examples(
        self, windows: Ids, *, lengths: Lengths, seed: int, step: int, tokenizer_vocab: int
    ) -> Examples:
        text = windows[:, :-1]
        rows, length = text.shape
        tokens, spans = self.noise(length)
        cut, span = self._cut(rows, length, seed=seed, step=step)
        sentinels = sentinel_id(tokenizer_vocab) + np.arange(spans)

        first = np.zeros_like(cut)  # of a span: its sentinel stands there
        first[:, 1:] = cut[:, 1:] & ~cut[:, :-1]
        shown = text.copy()
        shown[first] = np.tile(sentinels, rows)
        source = np.full((rows, length - tokens + spans + 1), end_id(tokenizer_vocab), dtype=np.int64)
        source[:, :-1] = shown[~cut | first].reshape(rows, length - tokens + spans)

        # Each token moves behind its own span's sentinel and those before; the places left are the sentinels'.
        written = np.zeros((rows, lengths.inputs), dtype=np.bool_)
        np.put_along_axis(written, np.arange(tokens) + span + 1, True, axis=1)
        targets = np.empty((rows, lengths.inputs), dtype=np.int64)
        targets[written] = text[cut]
        targets[~written] = np.tile(np.append(sentinels, end_id(tokenizer_vocab)), rows)
        inputs = np.empty_like(targets)
        inputs[:, 0], inputs[:, 1:] = start_id(tokenizer_vocab), targets[:, :-1]
        return Examples(inputs=inputs, targets=targets, source=source)

    def _cut(self, rows: int, length: int, *, seed: int, step: int) -> tuple[Valid, Ids]:
        """[rows, length] bool, true for what is cut out, and [rows, N] the number of the span of each such token."""
        tokens, spans = self.noise(length)
        span_starts = _partition(rows, tokens, spans, seed=seed, step=step, purpose="spans")
        gap_starts = _partition(rows, length - tokens, spans, seed=seed, step=step, purpose="gaps")
        span = np.cumsum(span_starts, axis=1) - 1
        # Before token j of the noise stand j others of it, and all gaps up to the one before its own span.
        gap_ends = np.nonzero(np.roll(gap_starts, -1, axis=1))[1].reshape(rows, spans) + 1
        cut = np.zeros((rows, length), dtype=np.bool_)
        np.put_along_axis(cut, np.arange(tokens) + np.take_along_axis(gap_ends, span, axis=1), True, axis=1)
        return cut, span


def _partition(rows: int, items: int, parts: int, *, seed: int, step: int, purpose: str) -> Valid:
    """[rows, items] bool, true where a part starts: `parts` parts, none empty, each partition equally likely."""
    starts = np.ones((rows, items), dtype=np.bool_)
    starts[:, 1:] = chosen(rows, items - 1, parts - 1, seed=seed, step=step, purpose=purpose)
    return starts
