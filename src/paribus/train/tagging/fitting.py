"""The training of a tagger: cross-entropy of the tags, AdamW, a warm-up and a linear decay.

Everything follows from the seed: the order of sentences, what is hidden, and dropout.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from paribus.errors import RequestError, WorkError
from paribus.text.segmenting.segmented_text import Sentence
from paribus.text.segmenting.viterbi import TAGS, tags_of
from paribus.train.schedule import rate_at
from paribus.train.tagging.alphabet import Alphabet, Characters
from paribus.train.tagging.nets import Tagger

_NO_TAG = -100
#: Sentences whose lengths are sorted together, in batches: long enough for like lengths, short enough for chance.
_SORTED = 16


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """`epochs` passes in batches of `batch_size` sentences at the peak rate `rate`.

    A character that training has once is hidden (made the unknown one) with the probability `hide`, so that the
    network learns what to do about unknown ones. Raises `RequestError` for impossible values.
    """

    epochs: int = 20
    batch_size: int = 16
    rate: float = 4e-3
    weight_decay: float = 0.01
    warmup: float = 0.1
    clip: float = 1.0
    hide: float = 0.5

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1:
            raise RequestError(
                f"epochs and batch_size are at least 1; they are {self.epochs}, {self.batch_size}"
            )
        if not 0 < self.rate < 1 or self.weight_decay < 0 or self.clip <= 0:
            raise RequestError(
                "rate lies between 0 and 1, weight_decay is not negative and clip is above zero"
            )
        if not (0 <= self.warmup < 1 and 0 <= self.hide <= 1):
            raise RequestError("warmup and hide are shares: from 0 up to 1")


@dataclass(frozen=True, kw_only=True)
class Example:
    """Ids of one stretch of text, and a tag where a character ends, _NO_TAG elsewhere."""

    ids: list[int]
    tags: list[int]


def examples_of(sentences: Sequence[Sentence], alphabet: Alphabet, *, window: int) -> list[Example]:
    """Examples of at most `window` characters; a longer sentence is cut between words, a longer word is left out."""
    found = []
    for sentence in sentences:
        for words in _within(sentence, window):
            ids, ends = alphabet.ids("".join(words))
            tags = [_NO_TAG] * len(ids)
            for end, tag in zip(ends, tags_of(words), strict=True):
                tags[end] = TAGS.index(tag)
            found.append(Example(ids=ids, tags=tags))
    if not found:
        raise RequestError(f"there is no segmented text whose words have at most {window:,} characters")
    return found


def fit(
    tagger: Tagger,
    examples: Sequence[Example],
    alphabet: Alphabet,
    config: FitConfig,
    *,
    seed: int,
    on_epoch: Callable[[int, float], None] | None = None,
) -> None:
    """Train in place. `on_epoch` is told the number of each epoch, from 1, and its mean loss in nats a character.

    Raises `WorkError` if the loss is no longer a number.
    """
    rng = random.Random(seed)
    optimiser = torch.optim.AdamW(tagger.parameters(), lr=config.rate, weight_decay=config.weight_decay)
    steps, step = config.epochs * -(-len(examples) // config.batch_size), 0
    rare = _once(examples) if isinstance(alphabet, Characters) else frozenset()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # for dropout
        tagger.train()
        for epoch in range(1, config.epochs + 1):
            nats, characters = 0.0, 0
            for batch in _batches(examples, config.batch_size, rng):
                for group in optimiser.param_groups:
                    group["lr"] = config.rate * rate_at(step, steps=steps, warmup=config.warmup)
                ids_BT, valid_BT, tags_BT = _rows(batch, rare, alphabet, config.hide, rng)
                scores = tagger(ids_BT, valid_BT)
                loss = F.cross_entropy(scores.flatten(0, 1), tags_BT.flatten(), ignore_index=_NO_TAG)
                optimiser.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(tagger.parameters(), config.clip)
                optimiser.step()
                step += 1
                read = int((tags_BT != _NO_TAG).sum())
                nats, characters = nats + loss.item() * read, characters + read
            if not nats < float("inf"):
                raise WorkError(f"training diverged in epoch {epoch}: give a rate below {config.rate:g}")
            if on_epoch is not None:
                on_epoch(epoch, nats / characters)
        tagger.eval()


def padded(rows: Sequence[Sequence[int]], fill: int = 0) -> Tensor:
    """int64 [B, T] of rows of different lengths."""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[fill] * (longest - len(row))] for row in rows])


def _within(sentence: Sentence, window: int) -> Iterator[list[str]]:
    held: list[str] = []
    length = 0
    for word in sentence:
        if held and length + len(word) > window:
            yield held
            held, length = [], 0
        if len(word) <= window:
            held, length = [*held, word], length + len(word)
    if held:
        yield held


def _once(examples: Sequence[Example]) -> frozenset[int]:
    seen: set[int] = set()
    again: set[int] = set()
    for example in examples:
        for number in example.ids:
            (again if number in seen else seen).add(number)
    return frozenset(seen - again)


def _batches(examples: Sequence[Example], size: int, rng: random.Random) -> Iterator[list[Example]]:
    """Every example once, in batches of like length that come in a random order."""
    order = list(examples)
    rng.shuffle(order)
    batches = []
    for start in range(0, len(order), size * _SORTED):
        near = sorted(order[start : start + size * _SORTED], key=lambda each: len(each.ids))
        batches += [near[at : at + size] for at in range(0, len(near), size)]
    rng.shuffle(batches)
    yield from batches


def _rows(
    batch: Sequence[Example], rare: frozenset[int], alphabet: Alphabet, hide: float, rng: random.Random
) -> tuple[Tensor, Tensor, Tensor]:
    unknown = alphabet.unknown if isinstance(alphabet, Characters) else 0
    ids = [[unknown if n in rare and rng.random() < hide else n for n in example.ids] for example in batch]
    valid = padded([[1] * len(row) for row in ids]).bool()
    return padded(ids), valid, padded([example.tags for example in batch], _NO_TAG)
