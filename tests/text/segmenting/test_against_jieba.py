"""With jieba's words and tables we give jieba's pieces."""

import logging
import random
from collections.abc import Iterator
from pathlib import Path

import jieba
import pytest
from jieba import finalseg

from paribus.text.segmenting.dictionary import Dictionary
from paribus.text.segmenting.dictionary_hmm import DictionaryHmmSegmenter
from paribus.text.segmenting.graph import DictionaryGraph
from paribus.text.segmenting.hmm import HiddenMarkov
from paribus.text.segmenting.viterbi import MISSING

WORDS = Path(jieba.__file__).parent / "dict.txt"
OTHERS = (*"aZ7-_，。 \né\u9fd6\u9fd7\U00020000", "3.14", "50%", "3.", ".5", "c++", "AT&T")


@pytest.fixture(scope="module")
def model() -> HiddenMarkov:
    characters = set().union(*finalseg.emit_P.values())
    return HiddenMarkov(
        start=finalseg.start_P,
        move=finalseg.trans_P,
        emission={c: [finalseg.emit_P[tag].get(c, MISSING) for tag in "BMES"] for c in characters},
    )


def _texts(words: list[str], model: HiddenMarkov, number: int) -> Iterator[str]:
    rng = random.Random(0)
    characters = sorted(model.emission)
    kinds = (words, characters, OTHERS, [chr(code) for code in range(0x4E00, 0x9FD6)])
    for _ in range(number):
        chosen = rng.choices(kinds, weights=(4, 3, 2, 1), k=rng.randrange(1, 30))
        yield "".join(map(rng.choice, chosen))


def _different(path: Path, model: HiddenMarkov, cache: Path, number: int) -> list[str]:
    """Of `number` drawn texts those that jieba divides otherwise, with its model for unknown words or without."""
    theirs = jieba.Tokenizer(dictionary=str(path))
    theirs.tmp_dir = str(cache)
    jieba.setLogLevel(logging.ERROR)
    dictionary = Dictionary.read(path)
    with_model, without = DictionaryHmmSegmenter(dictionary, model), DictionaryGraph(dictionary)
    return [
        text
        for text in _texts(list(dictionary.counts), model, number)
        if with_model.segment(text) != theirs.lcut(text)
        or without.segment(text) != theirs.lcut(text, HMM=False)
    ]


def test_a_part_of_its_dictionary_gives_its_pieces(model: HiddenMarkov, tmp_path: Path) -> None:
    # jieba keeps no word together that has another character, such as a Greek letter.
    lines = [line for line in WORDS.read_text("utf-8").splitlines(keepends=True) if line[0] != "γ"]
    path = tmp_path / "words.txt"
    path.write_text("".join(line for at, line in enumerate(lines) if at % 61 == 0 or line[1] == " "), "utf-8")
    assert _different(path, model, tmp_path, 1500) == []


@pytest.mark.slow
def test_its_whole_dictionary_gives_its_pieces(model: HiddenMarkov, tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text(WORDS.read_text("utf-8").replace("γ射线", "射线"), "utf-8")
    assert _different(path, model, tmp_path, 20_000) == []
