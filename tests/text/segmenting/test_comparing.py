"""All segmenters on one corpus, scored on what none was trained on."""

import json
import random
from pathlib import Path

import pytest

from paribus.errors import RequestError
from paribus.text.segmenting import METHODS, Sentence, compare_segmenters, sentences_of
from paribus.text.segmenting.comparing import divide
from paribus.text.segmenting.segmented_text import read_segmented


def _lines(number: int, seed: int) -> list[str]:
    """A language of names: a surname of one character and a given name of one or two, which are mostly new."""
    rng = random.Random(seed)
    given = [chr(code) for code in range(0x5000, 0x5028)]

    def name() -> str:
        return rng.choice("张李王") + "".join(rng.choices(given, k=rng.choice([1, 2])))

    return [f"{name()} 喜欢 {name()} 。" for _ in range(number)]


def test_a_model_of_characters_beats_matching_where_words_are_new() -> None:
    found = compare_segmenters(_lines(60, 1), _lines(80, 2), replicates=200)
    rows = {row.method: row for row in found.rows}
    assert rows.keys() == METHODS.keys()
    assert found.baseline in ("forward", "backward", "bidirectional")
    assert rows["hmm"].verdict == rows["dictionary_hmm"].verdict == "better"
    assert rows["characters"].verdict == "worse"
    assert rows[found.baseline].verdict is None
    assert [row.score.f1.value for row in found.rows] == sorted(
        (row.score.f1.value for row in found.rows), reverse=True
    )
    assert rows["hmm"].difference is not None
    assert rows["hmm"].difference.value == pytest.approx(
        rows["hmm"].score.f1.value - rows[found.baseline].score.f1.value
    )
    table = found.markdown().splitlines()
    assert len(table) == 2 + len(METHODS) and all(line.count("|") == table[0].count("|") for line in table)
    json.dumps(found.to_dict(), allow_nan=False)


def test_two_that_cut_alike_cannot_be_told_apart() -> None:
    lines = ["北京 大学", "喜欢 北京"]
    found = compare_segmenters(lines, lines, ["dictionary", "forward"], replicates=50)
    assert {row.method: row.verdict for row in found.rows} == {"dictionary": "cannot tell", "forward": None}
    assert found.repeated == 2 and found.unknown == 0
    assert all(row.score.unknown_recall is None for row in found.rows)


def test_what_one_sentence_decides_cannot_be_told() -> None:
    found = compare_segmenters(["甲乙 丙"], ["甲 乙", *["丙"] * 5], ["characters", "forward"], replicates=200)
    assert found.rows[0].difference is not None and found.rows[0].difference.value > 0
    assert found.rows[0].verdict == "cannot tell"


def test_the_baseline_is_the_best_maximum_matching() -> None:
    train, test = ["甲乙 乙丙"], ["甲 乙丙"]
    assert compare_segmenters(train, test, ["forward", "backward"], replicates=50).baseline == "backward"
    assert (
        compare_segmenters(train, ["甲乙 丙"], ["forward", "backward"], replicates=50).baseline == "forward"
    )


def test_without_matching_there_is_nothing_to_beat() -> None:
    found = compare_segmenters(["北京 大学"], ["北京 好"], ["hmm"], replicates=50)
    assert found.baseline is None and found.rows[0].verdict is None and found.unknown == 0.5


@pytest.mark.parametrize("methods", [[], ["hmm", "hmm"]])
def test_each_method_is_compared_once(methods: list[str]) -> None:
    with pytest.raises(RequestError, match="each method is compared once"):
        compare_segmenters(["a b"], ["a b"], methods)


def test_repeated_sentences_are_divided_to_one_side() -> None:
    sentences: list[Sentence] = sentences_of([*_lines(300, 3), *_lines(300, 3)])
    train, test = divide(sentences, held_out=0.2)
    assert len(train) + len(test) == 600 and 60 < len(test) < 180
    assert not {"".join(words) for words in train} & {"".join(words) for words in test}
    with pytest.raises(RequestError, match="one side is empty"):
        divide(sentences[:1], held_out=0.2)
    with pytest.raises(RequestError, match="a share between 0 and 1; it is 1"):
        divide(sentences, held_out=1)


def test_segmented_text_is_a_sentence_a_line(tmp_path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("\ufeff我  喜欢\t北京\r\n\n好\u3000的", "utf-8")
    assert read_segmented(path) == [("我", "喜欢", "北京"), ("好", "的")]
    path.write_text(" \n\n", "utf-8")
    with pytest.raises(RequestError, match="in .*text.txt there is no segmented text"):
        read_segmented(path)
    path.write_bytes(b"\xff")
    with pytest.raises(RequestError, match="is not UTF-8 text: byte 0"):
        read_segmented(path)
    with pytest.raises(RequestError, match="is not a file but a pipe, a socket or a device"):
        read_segmented(Path("/dev/zero"))
