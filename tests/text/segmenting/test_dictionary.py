"""Dictionaries: learned from segmented text, and read from lists of words and counts."""

from pathlib import Path

import pytest

from paribus.errors import RequestError
from paribus.text.segmenting import Sentence
from paribus.text.segmenting.dictionary import Dictionary


def test_learned_words_are_counted_and_rare_ones_left_out(sentences: list[Sentence]) -> None:
    dictionary = Dictionary.learned(sentences)
    assert (dictionary.counts["北京"], dictionary.counts["大学生"], dictionary.total) == (2, 1, 31)
    assert "大学生" not in Dictionary.learned(sentences, min_count=2).counts
    with pytest.raises(RequestError, match="no word stands in the segmented text 9 times"):
        Dictionary.learned(sentences, min_count=9)


def test_beginnings_of_words_are_in_the_prefix_table_without_a_count() -> None:
    dictionary = Dictionary({"大学生": 3, "大": 1})
    assert dictionary.prefixes == {"大学生": 3, "大": 1, "大学": 0}


def test_a_list_in_the_format_of_jieba_comes_back_as_written(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("\ufeff北京 34488 ns\nB超 3 n\n\nB超 4\n大学 20025", "utf-8")
    dictionary = Dictionary.read(path)
    assert dictionary.counts == {"北京": 34488, "B超": 7, "大学": 20025}
    dictionary.write(path)
    assert Dictionary.read(path).counts == dictionary.counts


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("北京 3\n大学\n", "line 2 of .* is not a word, its count"),
        ("北京 -3\n", "line 1 of .* is not a word"),
        ("北京 many ns\n", "line 1 of .* is not a word"),
        ("北京 1 ns more\n", "line 1 of .* is not a word"),
        ("北京 " + "9" * 5000, "line 1 of .* is not a word"),
        ("北京 0\n", "in line 1 of .* a word's count is from 1"),
        ("北" * 65 + " 3\n", "in line 1 of .* 1 to 64 characters; .* has 65"),
        ("\n\n", "holds no words"),
    ],
)
def test_a_broken_list_is_refused_with_its_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "words.txt"
    path.write_text(content, "utf-8")
    with pytest.raises(RequestError, match=message):
        Dictionary.read(path)


def test_a_list_that_is_no_utf8_or_not_there_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_bytes("北京 3".encode("gb18030"))
    with pytest.raises(RequestError, match="is not UTF-8 text: byte 0"):
        Dictionary.read(path)
    with pytest.raises(RequestError, match="cannot be read"):
        Dictionary.read(tmp_path / "none.txt")


def test_a_word_that_a_list_cannot_hold_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="cannot stand in a list"):
        Dictionary({"a b": 1}).write(tmp_path / "words.txt")
