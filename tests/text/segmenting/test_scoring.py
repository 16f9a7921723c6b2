"""Scores by hand, and intervals that hold what they should."""

import random

import numpy as np
import pytest

from paribus.errors import RequestError
from paribus.text.segmenting.scoring import count_words, f1_difference, score

TRUTH = [("我", "喜欢", "北京"), ("北京大学", "好")]
FOUND = [["我喜", "欢", "北京"], ["北京", "大学", "好"]]


def test_scores_are_those_of_spans() -> None:
    counts = count_words(TRUTH, FOUND, known={"我", "北京大学", "好"})
    assert counts.tolist() == [[3, 3, 1, 2, 1], [2, 3, 1, 0, 0]]
    result = score(counts)
    assert result.precision.value == pytest.approx(2 / 6)
    assert result.recall.value == pytest.approx(2 / 5)
    assert result.f1.value == pytest.approx(2 * (2 / 6) * (2 / 5) / (2 / 6 + 2 / 5))
    assert (result.unknown, result.words, result.sentences) == (2 / 5, 5, 2)
    assert result.unknown_recall is not None and result.unknown_recall.value == 0.5


def test_a_word_in_the_wrong_place_is_not_found() -> None:
    assert count_words([("生", "学生")], [["生学", "生"]])[0, 2] == 0


def test_without_unknown_words_there_is_no_recall_of_them() -> None:
    counts = count_words(TRUTH, FOUND, known={word for words in TRUTH for word in words})
    assert score(counts).unknown_recall is None


def _sentences(rng: random.Random, number: int, right: float) -> np.ndarray:
    words = np.full(number, 10)
    found = np.array([sum(rng.random() < right for _ in range(10)) for _ in range(number)])
    return np.stack([words, words, found, words * 0 + 5, found // 2], axis=1)


def test_the_interval_is_that_of_resampled_sentences() -> None:
    counts = _sentences(random.Random(1), 400, 0.8)
    f1 = score(counts, replicates=2000).f1
    spread = np.std(counts[:, 2] / 10) / np.sqrt(400)  # of a mean of 400 sentences of equal length
    assert f1.value - f1.low == pytest.approx(1.96 * spread, rel=0.15)
    assert f1.high - f1.value == pytest.approx(1.96 * spread, rel=0.15)
    assert score(counts, seed=3).f1 == score(counts, seed=3).f1


def test_a_difference_draws_the_sentences_of_both_together() -> None:
    better = _sentences(random.Random(2), 50, 0.7)
    worse = better.copy()
    worse[:, 2] -= 1
    difference = f1_difference(better, worse)
    # One word in ten fewer in every sentence: whichever are drawn, the difference is the same.
    assert (difference.low, difference.value, difference.high) == pytest.approx((0.1, 0.1, 0.1))


def test_pieces_that_are_not_the_sentence_are_refused() -> None:
    with pytest.raises(RequestError, match="do not join to their sentence"):
        count_words([("我", "好")], [["我"]])
    with pytest.raises(RequestError, match="as many cut sentences as true ones"):
        count_words(TRUTH, FOUND[:1])
    with pytest.raises(RequestError, match="on the same sentences"):
        f1_difference(count_words(TRUTH, FOUND), count_words(TRUTH[:1], FOUND[:1]))
