"""Bits per byte of text of which only the frequencies of tokens are known."""

import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from paribus.errors import RequestError
from paribus.text.data import Dataset, Split, unigram, unigram_bits_per_byte
from paribus.text.tokenizers import ByteTokenizer

from .conftest import Prepare, assert_sentence


@pytest.fixture
def dataset(folder_of: Callable[..., Path], texts: list[str], prepared: Prepare) -> Dataset:
    return prepared(folder_of(texts))


def tokens_of(split: Split) -> list[int]:
    return split.read(0, split.num_tokens).tolist()


def test_it_is_the_cross_entropy_of_held_out_tokens_under_smoothed_training_counts(dataset: Dataset) -> None:
    seen, vocab_size = Counter(tokens_of(dataset.train)), ByteTokenizer().vocab_size
    total = dataset.train.num_tokens + vocab_size
    bits = sum(-math.log2((seen[token] + 1) / total) for token in tokens_of(dataset.heldout))
    assert unigram_bits_per_byte(dataset) == pytest.approx(bits / dataset.heldout.num_bytes, rel=1e-12)


def test_even_letters_cost_their_logarithm(folder_of: Callable[..., Path], prepared: Prepare) -> None:
    rows = np.random.default_rng(0).integers(97, 123, (200, 40), dtype=np.uint8)
    dataset = prepared(folder_of([row.tobytes().decode() for row in rows]))
    # An end of a document stands beside every 40 of the 26 letters.
    expected = (40 * math.log2(26 * 41 / 40) + math.log2(41)) / 40
    assert unigram_bits_per_byte(dataset) == pytest.approx(expected, rel=0.02)


def test_a_byte_that_training_never_saw_costs_much_and_not_everything(
    folder_of: Callable[..., Path], prepared: Prepare
) -> None:
    # Each document has a first byte of two that no other has.
    dataset = prepared(folder_of([chr(64 * (number + 2)) * 9 for number in range(28)]))
    assert set(tokens_of(dataset.heldout)) - set(tokens_of(dataset.train))
    assert 3 < unigram_bits_per_byte(dataset) < 16


def test_reading_in_chunks_changes_nothing(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = unigram_bits_per_byte(dataset)
    monkeypatch.setattr(unigram, "_TOKENS_AT_ONCE", 101)
    assert unigram_bits_per_byte(dataset) == whole


def test_a_tokenizer_that_is_not_known_is_refused(source_with_other_tokenizer: Dataset) -> None:
    with pytest.raises(RequestError) as refusal:
        unigram_bits_per_byte(source_with_other_tokenizer)
    assert_sentence(refusal, "no tokenizer 'other'")


@pytest.fixture
def source_with_other_tokenizer(
    folder_of: Callable[..., Path], texts: list[str], prepared: Prepare
) -> Dataset:
    class Other(ByteTokenizer):
        name = "other"

    return prepared(folder_of(texts), tokenizer=Other())
