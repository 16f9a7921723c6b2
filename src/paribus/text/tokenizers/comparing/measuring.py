"""One tokenizer on held-out text: everything that a comparison says of it but its training."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from paribus.text.tokenizers.comparing.fertility import Fertility, tokens_of_words
from paribus.text.tokenizers.comparing.intervals import by_group, ratio
from paribus.text.tokenizers.comparing.pieces import invalid_alone
from paribus.text.tokenizers.comparing.renyi import renyi_efficiency
from paribus.text.tokenizers.comparing.round_trip import RoundTrips
from paribus.text.tokenizers.protocol import Tokenizer
from paribus.text.tokenizers.splits import Split

#: A speed is the best of so many passes, of as many as begin within so many seconds.
_PASSES, _SECONDS = 3, 5.0


@dataclass(frozen=True, kw_only=True)
class Measures:
    """How to measure: whose `split` cuts words, `alpha` of Rényi's entropy, and whether it is over the `declared`
    vocabulary or the `observed` tokens."""

    split: Split
    alpha: float
    over: str


def measure(
    opens: Callable[[], Tokenizer], texts: Iterable[str], groups: npt.NDArray[np.int64], measures: Measures
) -> dict[str, Any]:
    """What the tokenizer that `opens` gives, anew for every pass, does with `texts`.

    `groups` [documents] are those of near-duplicates, over which the interval of bytes a token is drawn.
    """
    tokenizer = opens()
    tokens, sizes = list[int](), list[int]()
    counts = np.zeros(tokenizer.vocab_size, dtype=np.int64)
    trips, fertility = RoundTrips(), Fertility()
    attributed = True
    encoding = decoding = 0.0
    for text in texts:
        began = time.perf_counter()
        ids = tokenizer.encode(text)
        encoded = time.perf_counter()
        back = tokenizer.decode(ids)
        decoding += time.perf_counter() - encoded
        encoding += encoded - began
        tokens.append(len(ids))
        sizes.append(len(text.encode()))
        counts += np.bincount(ids, minlength=len(counts))
        trips.add(text, back)
        if attributed and (found := tokens_of_words(tokenizer, text, ids, measures.split)) is not None:
            fertility.add(found)
        else:
            attributed = False
    again = _passes(opens, texts, first=(encoding, decoding))
    used = int((counts > 0).sum())
    total, number = sum(sizes), sum(tokens)
    invalid = invalid_alone(tokenizer)
    vocab_size = tokenizer.vocab_size if measures.over == "declared" else used
    groups = groups[: len(tokens)]
    return {
        "documents": len(tokens),
        "bytes": total,
        "tokens": number,
        "bytes_per_token": dataclasses.asdict(ratio(by_group(sizes, groups), by_group(tokens, groups))),
        "words": fertility.words if attributed else None,
        "fertility": fertility.tokens / fertility.words if attributed and fertility.words else None,
        "single_token_words": fertility.of_one / fertility.words if attributed and fertility.words else None,
        "vocabulary_used": used,
        "vocabulary_used_share": used / tokenizer.vocab_size,
        "renyi": renyi_efficiency(counts, vocab_size=vocab_size, alpha=measures.alpha)
        if used and vocab_size > 1
        else None,
        "invalid_tokens": float(counts[invalid].sum() / number) if number else 0.0,
        "invalid_pieces": float(invalid.mean()),
        "encode_mb_per_second": total / 1e6 / again[0],
        "decode_mb_per_second": total / 1e6 / again[1],
        "loses": list(tokenizer.loses),
        "round_trips": dataclasses.asdict(trips),
    }


def _passes(
    opens: Callable[[], Tokenizer], texts: Iterable[str], *, first: tuple[float, float]
) -> tuple[float, float]:
    """Seconds of the fastest encoding and decoding of all texts; every pass begins with nothing remembered."""
    encoding, decoding = [first[0]], [first[1]]
    until = time.perf_counter() + _SECONDS - sum(first)
    while len(encoding) < _PASSES and time.perf_counter() < until:
        tokenizer = opens()
        tokenizer.encode("warm")  # what is made on first use is not the text's
        encode = decode = 0.0
        for text in texts:
            began = time.perf_counter()
            ids = tokenizer.encode(text)
            encoded = time.perf_counter()
            tokenizer.decode(ids)
            decode += time.perf_counter() - encoded
            encode += encoded - began
        encoding.append(encode)
        decoding.append(decode)
    return max(min(encoding), 1e-9), max(min(decoding), 1e-9)
