"""The hidden Markov model: its counts by hand, and what it cuts."""

import math

import pytest

from paribus.errors import RequestError
from paribus.text.segmenting import Sentence, sentences_of
from paribus.text.segmenting.dictionary import Dictionary
from paribus.text.segmenting.dictionary_hmm import DictionaryHmmSegmenter
from paribus.text.segmenting.hmm import HiddenMarkov, HmmSegmenter
from paribus.text.segmenting.viterbi import MISSING


def test_probabilities_are_smoothed_shares_of_counts() -> None:
    model = HiddenMarkov.learned(sentences_of(["甲乙 丙", "丙 甲乙丁"]), smoothing=0.5)
    # Tags: BES and SBME; four characters were seen; B twice, S twice, E twice, M once.
    assert model.start == pytest.approx(
        {"B": math.log(1.5 / 3), "S": math.log(1.5 / 3), "M": MISSING, "E": MISSING}
    )
    assert model.move["B"] == pytest.approx({"E": math.log(1.5 / 3), "M": math.log(1.5 / 3)})
    assert model.move["E"] == pytest.approx({"S": math.log(1.5 / 2), "B": math.log(0.5 / 2)})
    assert model.emission["甲"] == pytest.approx(
        [math.log(2.5 / 4.5), math.log(0.5 / 3.5), math.log(0.5 / 4.5), math.log(0.5 / 4.5)]
    )
    assert model.emission["乙"] == pytest.approx(
        [math.log(0.5 / 4.5), math.log(1.5 / 3.5), math.log(1.5 / 4.5), math.log(0.5 / 4.5)]
    )
    assert model.unseen == pytest.approx([math.log(0.5 / n) for n in (4.5, 3.5, 4.5, 4.5)])
    for column in range(4):  # every tag's emissions, the unseen character's among them, are one in all
        shares = [math.exp(scores[column]) for scores in (*model.emission.values(), model.unseen)]
        assert sum(shares) == pytest.approx(1)


def test_words_never_seen_are_found_by_their_characters() -> None:
    model = HiddenMarkov.learned(sentences_of(["老李 和 老王", "小王 和 小张"] * 3))
    assert HmmSegmenter(model).segment("老张和小李") == ["老张", "和", "小李"]


def test_a_run_of_white_space_is_a_piece_whatever_the_model_says() -> None:
    singles = HiddenMarkov(
        start={"S": 0.0}, move={"S": {"S": 0.0}}, emission={}, unseen=(-9.0, -9.0, -9.0, 0.0)
    )
    assert HmmSegmenter(singles).segment("  甲乙\t\n丙 ") == ["  ", "甲", "乙", "\t\n", "丙", " "]
    pairs = HiddenMarkov(
        start={"B": 0.0}, move={"B": {"E": 0.0}, "E": {"B": 0.0}}, emission={}, unseen=(0.0,) * 4
    )
    assert HmmSegmenter(pairs).segment("甲乙 丙丁") == ["甲乙", " ", "丙丁"]


def test_runs_of_single_characters_are_cut_again_unless_they_are_words(sentences: list[Sentence]) -> None:
    model = HiddenMarkov.learned(sentences_of(["老李 和 老王", "小王 和 小张"] * 3))
    unknown = DictionaryHmmSegmenter(Dictionary({"喜欢": 5}), model)
    assert unknown.segment("老张喜欢3.14小李") == ["老张", "喜欢", "3.14", "小李"]
    # 老张 loses against its two characters in the graph, so the run that they form is a word, and stays.
    known = DictionaryHmmSegmenter(Dictionary({"喜欢": 5, "老张": 1, "老": 1000, "张": 1000}), model)
    assert known.segment("老张喜欢") == ["老", "张", "喜欢"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"start": {"X": -1.0}}, "the tags are B, M, E and S; 'X' is none"),
        ({"start": {"B": 0.5}}, r"a log probability lies in .*; 0\.5"),
        ({"start": {"B": math.nan}}, "a log probability lies in .*; nan"),
        ({"emission": {"甲": (-1.0, -1.0)}}, "a score for each of B, M, E and S; 2"),
        ({"emission": {"甲乙": (-1.0,) * 4}}, "one of characters; '甲乙' has 2"),
    ],
)
def test_tables_that_are_no_model_are_refused(given: dict, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        HiddenMarkov(**{"start": {}, "move": {}, "emission": {}, **given})


@pytest.mark.parametrize("smoothing", [0.0, -1.0, math.inf, math.nan])
def test_smoothing_is_above_zero(sentences: list[Sentence], smoothing: float) -> None:
    with pytest.raises(RequestError, match="smoothing is a number above zero"):
        HiddenMarkov.learned(sentences, smoothing=smoothing)
