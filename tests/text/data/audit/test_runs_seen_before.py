"""Runs of tokens seen before, the tokens inside them and the top spans, against the definition by brute force."""

import itertools
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from paribus.text.data.audit.coverage import covered
from paribus.text.data.audit.repeats import FROM_SOURCE, SEEN, Repeats, earliest, find_repeats
from paribus.text.data.audit.runs import Runs
from paribus.text.data.audit.spans import top_spans


@dataclass
class Corpus:
    """Random documents of few different tokens, and what the definition says of their runs of `length`."""

    seed: int
    documents: list[list[int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        draw = random.Random(self.seed)
        letters = draw.choice([1, 2, 3, 5])
        self.documents = [
            [draw.randrange(letters) for _ in range(draw.randint(0, 30))] for _ in range(draw.randint(1, 12))
        ]
        self.length = draw.randint(1, 6)
        self.ends = np.cumsum([len(document) for document in self.documents])
        self.source_tokens = int(self.ends[draw.randrange(len(self.documents))])
        dtype = draw.choice([np.uint8, np.uint16, np.uint32])
        self.tokens = np.array([token for document in self.documents for token in document], dtype=dtype)
        self.runs = Runs(tokens=self.tokens, ends=self.ends, length=self.length)
        self.flags = np.zeros(len(self.tokens), dtype=np.uint8)
        self.times: Counter[int] = Counter()
        first: dict[Sequence[int], int] = {}
        for begin, document in zip([0, *self.ends], self.documents, strict=False):
            for at in range(len(document) - self.length + 1):
                run = tuple(document[at : at + self.length])
                head = first.setdefault(run, int(begin) + at)
                if head != begin + at:
                    self.flags[begin + at] = SEEN | (FROM_SOURCE if head < self.source_tokens else 0)
                    self.times[head] += 1

    def found(self, path: Path, *, memory: int = 2**20, workers: int = 1) -> Repeats:
        return find_repeats(
            self.runs,
            path,
            source_tokens=self.source_tokens,
            memory=memory,
            workers=workers,
            told=lambda done, total: None,
        )


@pytest.mark.parametrize(("memory", "workers"), [(2**20, 1), (8, 1), (64, 2), (2**20, 3)])
def test_every_repeated_run_is_found_and_no_other(tmp_path: Path, memory: int, workers: int) -> None:
    for seed in range(25):
        corpus = Corpus(seed)
        found = corpus.found(tmp_path / "flags", memory=memory, workers=workers)
        assert found.flags.tolist() == corpus.flags.tolist(), seed
        counted = list(zip(found.heads.tolist(), found.counts.tolist(), strict=True))
        assert counted == sorted(corpus.times.items(), key=lambda item: (-item[1], item[0]))


def test_runs_over_the_border_of_a_block_are_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paribus.text.data.audit.repeats._BLOCK_BYTES", 200)  # two or three runs
    for seed in range(25):
        corpus = Corpus(seed)
        found = corpus.found(tmp_path / "flags")
        assert found.flags.tolist() == corpus.flags.tolist()
        assert dict(zip(found.heads.tolist(), found.counts.tolist(), strict=True)) == corpus.times


def test_runs_with_the_same_fingerprint_are_told_apart_by_their_tokens() -> None:
    tokens = np.array([1, 2, 1, 3, 2, 1, 2, 3], dtype=np.uint16)
    runs = Runs(tokens=tokens, ends=np.array([8]), length=1)
    positions = np.arange(8)
    # All eight as of one kind, as if their fingerprints had met.
    assert earliest(runs, positions, np.zeros(8, dtype=np.int64)).tolist() == [0, 1, 0, 3, 1, 0, 1, 3]
    assert earliest(runs, positions, np.repeat([0, 4], 4)).tolist() == [0, 1, 0, 3, 4, 5, 4, 7]


def test_tokens_inside_repeated_runs_by_document(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paribus.text.data.audit.coverage._CHUNK", 7)
    for seed, flag in itertools.product(range(40), (SEEN, FROM_SOURCE)):
        corpus = Corpus(seed)
        inside = np.zeros(len(corpus.tokens), dtype=bool)
        for at in np.flatnonzero(corpus.flags & flag):
            inside[at : at + corpus.length] = True
        wanted = [int(part.sum()) for part in np.split(inside, corpus.ends)[:-1]]
        assert covered(corpus.flags, flag, corpus.length, corpus.ends).tolist() == wanted


def test_top_spans_occur_as_often_as_said_and_cannot_be_longer(tmp_path: Path) -> None:
    for seed in range(40):
        corpus = Corpus(seed)
        spans = top_spans(corpus.runs, corpus.found(tmp_path / "flags"), most=3, workers=1)
        assert bool(spans) == bool(corpus.times)
        for span in spans:
            text = corpus.tokens[span.start : span.start + span.length].tolist()
            around = [
                (document[at - 1 : at], document[at + span.length : at + span.length + 1])
                for document in corpus.documents
                for at in range(len(document) - span.length + 1)
                if document[at : at + span.length] == text
            ]
            assert len(around) == span.times
            for neighbours in zip(*around, strict=True):  # if all agreed, the span would have been longer
                assert [] in neighbours or len({tuple(each) for each in neighbours}) > 1


def test_the_most_covering_span_comes_first(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    long, short = draw.integers(10, 250, 40), draw.integers(10, 250, 6)
    parts = [draw.integers(0, 256, 20) for _ in range(12)]
    tokens = np.concatenate([np.concatenate([part, long, part[::-1], short]) for part in parts])
    runs = Runs(tokens=tokens.astype(np.uint8), ends=np.array([len(tokens)]), length=5)
    found = find_repeats(
        runs, tmp_path / "flags", source_tokens=len(tokens), memory=2**20, workers=1, told=lambda *_: None
    )
    best, second = top_spans(runs, found, most=2, workers=2)
    assert (best.start, best.length, best.times) == (20, 40, 12)
    assert (second.length, second.times) == (6, 12)
