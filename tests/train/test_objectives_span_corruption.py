import itertools
from collections import Counter

import numpy as np
import pytest
from scipy.stats import chisquare

from paribus.errors import RequestError
from paribus.train.objectives import Examples, SpanCorruption, end_id, sentinel_id, start_id

V = 300
LENGTHS = [2, 3, 5, 6, 7, 16, 31, 64, 100, 511]


def made(rows: int, seq_len: int, *, objective: SpanCorruption | None = None) -> tuple[np.ndarray, Examples]:
    windows = np.random.default_rng(3).integers(0, V, (rows, seq_len + 1))
    objective = objective or SpanCorruption()
    return windows[:, :-1], objective.examples(windows, seed=0, step=0, tokenizer_vocab=V)


def spans_of(target: np.ndarray) -> list[list[int]]:
    """The spans of one row of targets, in the order of their sentinels, which must be 0, 1, 2, ..."""
    assert target[-1] == end_id(V)
    spans: list[list[int]] = []
    for token in target[:-1]:
        if token >= V:
            assert token == sentinel_id(V, len(spans))
            spans.append([])
        else:
            spans[-1].append(int(token))
    return spans


def spliced(source: np.ndarray, spans: list[list[int]]) -> list[int]:
    """The source with each sentinel replaced by its span."""
    assert source[-1] == end_id(V)
    text: list[int] = []
    for token in source[:-1]:
        text.extend(spans[token - sentinel_id(V)] if token >= V else [int(token)])
    return text


def span_lengths(examples: Examples) -> list[tuple[int, ...]]:
    return [tuple(len(span) for span in spans_of(row)) for row in examples.targets]


def gap_lengths(examples: Examples) -> list[tuple[int, ...]]:
    """Ordinary tokens before each sentinel of the source."""
    assert examples.source is not None
    ends = [np.flatnonzero(row >= V)[:-1] for row in examples.source]
    return [tuple(int(n) for n in np.diff(row, prepend=-1) - 1) for row in ends]


def test_lengths_are_those_published_for_t5() -> None:
    # Shazeer 2020 trains on 512 tokens in and 114 out; T5's helper finds 568 tokens of text for it.
    lengths = SpanCorruption().lengths(568)
    assert (lengths.source, lengths.inputs) == (512, 114)
    assert (SpanCorruption().lengths(569).source or 0) > 512


@pytest.mark.parametrize("seq_len", range(2, 200))
def test_lengths_follow_the_formulas(seq_len: int) -> None:
    noise = max(round(0.15 * seq_len), 1)
    spans = max(round(noise / 3), 1)
    lengths = SpanCorruption().lengths(seq_len)
    assert SpanCorruption().noise(seq_len) == (noise, spans)
    assert lengths.source == seq_len - noise + spans + 1
    assert lengths.inputs == lengths.scored == noise + spans + 1


def test_the_vocabulary_has_start_end_and_a_sentinel_for_each_span() -> None:
    extra = [start_id(V), end_id(V), *(sentinel_id(V, i) for i in range(26))]
    assert extra == list(range(V, V + 28))
    assert SpanCorruption().vocab_size(V, seq_len=512) == V + 28
    with pytest.raises(RequestError, match="needs at least 2"):
        SpanCorruption().vocab_size(V, seq_len=1)


@pytest.mark.parametrize("seq_len", LENGTHS)
def test_spans_put_back_give_the_text(seq_len: int) -> None:
    text, examples = made(20, seq_len)
    assert examples.source is not None
    for row, source, target in zip(text, examples.source, examples.targets, strict=True):
        assert spliced(source, spans_of(target)) == row.tolist()


@pytest.mark.parametrize("seq_len", LENGTHS)
def test_each_sentinel_stands_once_and_in_order_on_either_side(seq_len: int) -> None:
    _, examples = made(20, seq_len)
    assert examples.source is not None
    sentinels = [sentinel_id(V, i) for i in range(SpanCorruption().noise(seq_len)[1])]
    for ids in (examples.source, examples.targets):
        for row in ids:
            assert row[row >= V].tolist() == [*sentinels, end_id(V)]


@pytest.mark.parametrize("seq_len", LENGTHS)
def test_no_span_and_no_gap_is_empty(seq_len: int) -> None:
    _, examples = made(20, seq_len)
    noise, spans = SpanCorruption().noise(seq_len)
    for lengths, total in [(span_lengths(examples), noise), (gap_lengths(examples), seq_len - noise)]:
        assert all(len(row) == spans and min(row) >= 1 and sum(row) == total for row in lengths)


def test_inputs_are_the_targets_shifted_behind_a_start_id() -> None:
    _, examples = made(5, 64)
    assert (examples.inputs[:, 0] == start_id(V)).all()
    assert np.array_equal(examples.inputs[:, 1:], examples.targets[:, :-1])


def test_every_partition_into_spans_and_gaps_is_equally_likely() -> None:
    # 4 of 8 tokens in 2 spans: 3 partitions of the noise times 3 of the rest.
    objective = SpanCorruption(noise_density=0.5, mean_span=2)
    assert objective.noise(8) == (4, 2)
    _, examples = made(12_000, 8, objective=objective)
    seen = Counter(zip(span_lengths(examples), gap_lengths(examples), strict=True))
    assert set(seen) == set(itertools.product([(1, 3), (2, 2), (3, 1)], repeat=2))
    assert chisquare(list(seen.values())).pvalue > 1e-4


def test_mean_span_and_density_set_the_numbers() -> None:
    objective = SpanCorruption(noise_density=0.5, mean_span=8)
    assert objective.noise(128) == (64, 8)
    text, examples = made(5, 128, objective=objective)
    assert examples.source is not None
    assert spliced(examples.source[0], spans_of(examples.targets[0])) == text[0].tolist()


def test_at_a_high_density_every_span_still_has_a_gap_before_it() -> None:
    objective = SpanCorruption(noise_density=0.9, mean_span=1)
    assert objective.noise(20) == (18, 2)
    text, examples = made(5, 20, objective=objective)
    assert examples.source is not None
    assert spliced(examples.source[0], spans_of(examples.targets[0])) == text[0].tolist()
    assert SpanCorruption(noise_density=0.99).noise(10) == (9, 1)


@pytest.mark.parametrize(
    "wrong",
    [{"noise_density": 0.0}, {"noise_density": 1.0}, {"mean_span": 0.5}, {"mean_span": float("inf")}],
)
def test_impossible_options_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(RequestError, match=f"{next(iter(wrong))} of span_corruption"):
        SpanCorruption(**wrong)
