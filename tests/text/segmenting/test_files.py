"""Segmenters come back from their files as they were, and a broken file is refused in one sentence."""

import json
import os
from pathlib import Path

import pytest

from paribus.errors import RequestError, WorkError
from paribus.text.segmenting import (
    METHODS,
    Segmenter,
    Sentence,
    load_segmenter,
    save_segmenter,
    train_segmenter,
)

TEXTS = ("我喜欢北京大学生活，学习3.5公里 the quickest龘", "window らーめん", "\ud800\0")


def test_every_segmenter_comes_back_as_it_was(segmenters: dict[str, Segmenter], tmp_path: Path) -> None:
    assert METHODS.keys() <= segmenters.keys()
    for name, segmenter in segmenters.items():
        save_segmenter(segmenter, tmp_path / "kept.json")
        again = load_segmenter(tmp_path / "kept.json")
        assert again.name == segmenter.name
        for text in TEXTS:
            assert again.segment(text) == segmenter.segment(text), name
    assert [path.name for path in tmp_path.iterdir()] == ["kept.json"]


@pytest.mark.parametrize("method", ["forward", "hmm"])
def test_words_with_lone_surrogates_are_cut_and_not_kept(tmp_path: Path, method: str) -> None:
    segmenter = train_segmenter(method, [("\ud800a", "b")] * 9)
    assert segmenter.segment("b\ud800a") == ["b", "\ud800a"]
    with pytest.raises(RequestError, match="half a surrogate pair"):
        save_segmenter(segmenter, tmp_path / "kept.json")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("method", "change", "message"),
    [
        ("hmm", {"format": "other"}, "is no segmenter of paribus: its format is 'other'"),
        ("hmm", {"version": 2}, "is of version 2, and version 1 is read"),
        ("hmm", {"method": "hm"}, "a segmenter 'hm', which there is not: did you mean hmm"),
        ("hmm", {"method": ["hmm"]}, "which there is not"),
        ("hmm", {"model": None}, "model is null, which it cannot be"),
        ("hmm", {"more": 1}, "has an unknown part 'more'; a hmm is made of: model"),
        ("hmm", {"model": {"start": {}, "move": {"B": 3}, "emission": {}, "unseen": []}}, "move is 3"),
        (
            "hmm",
            {"model": {"start": {"B": "x"}, "move": {}, "emission": {}, "unseen": []}},
            'probability is "x"',
        ),
        (
            "hmm",
            {"model": {"start": {}, "move": {}, "emission": {}, "unseen": [0, 0]}},
            "each of B, M, E and S",
        ),
        (
            "hmm",
            {"model": {"start": {}, "move": {}, "emission": {"x": [0, 0, 0, 1]}, "unseen": [0] * 4}},
            "lies in",
        ),
        ("dictionary", {"dictionary": {"a": True}}, "the count of 'a' is true"),
        ("dictionary", {"dictionary": {"a": 0}}, "a word's count is from 1"),
        ("dictionary", {"dictionary": {}}, "the dictionary has no words"),
        ("dictionary", {"join_letters": 1}, "join_letters is 1"),
        ("syllable", {"language": "fr"}, "the language 'fr'"),
        ("rule", {"rules": {"classes": [{}]}}, "together is null"),
        ("rule", {"rules": {"name": "x", "continuing": "[", "classes": []}}, "1 to 200 classes"),
    ],
)
def test_a_file_with_a_wrong_part_is_refused(
    segmenters: dict[str, Segmenter], tmp_path: Path, method: str, change: dict, message: str
) -> None:
    path = tmp_path / "kept.json"
    save_segmenter(segmenters[method], path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(RequestError, match=message) as caught:
        load_segmenter(path)
    assert "kept.json" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b'{"format": "paribus segm', "breaks off in the middle"),
        (b"\xff\xfe", "is not UTF-8 text"),
        (b"[1]", "holds a list where a JSON object is expected"),
        (b"[" * 100_000, "is nested more than 64 levels deep"),
        (b'{"format": 1, "format": 2}', "gives the key 'format' twice"),
        (b'{"format": "paribus segmenter", "version": 1, "method": "hmm"}', "lacks 'model'"),
    ],
)
def test_a_broken_file_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "kept.json"
    path.write_bytes(content)
    with pytest.raises(RequestError, match=message):
        load_segmenter(path)


def test_what_cannot_be_kept_or_found_is_said(segmenters: dict[str, Segmenter], tmp_path: Path) -> None:
    class Other:
        name = "other"

    with pytest.raises(RequestError, match="'other' is not kept as one file"):
        save_segmenter(Other(), tmp_path / "kept.json")  # type: ignore[arg-type]
    with pytest.raises(WorkError, match="writing .* failed"):
        save_segmenter(segmenters["hmm"], tmp_path / "none" / "kept.json")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RequestError, match="is not a file but a pipe"):
        load_segmenter(tmp_path / "pipe")
    with (tmp_path / "large").open("wb") as file:
        file.truncate(2**28 + 1)  # a hole, which takes no room
    with pytest.raises(RequestError, match="a segmenter of at most 268,435,456 is read"):
        load_segmenter(tmp_path / "large")
    with pytest.raises(RequestError, match="there is no file"):
        load_segmenter(tmp_path / "none.json")


def test_methods_say_what_they_need(sentences: list[Sentence], tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no segmenter 'hmn': did you mean hmm"):
        train_segmenter("hmn", sentences)
    with pytest.raises(RequestError, match="hmm learns from segmented text, and none was given"):
        train_segmenter("hmm")
    with pytest.raises(RequestError, match="hmm has no option 'smoth'; did you mean smoothing"):
        train_segmenter("hmm", sentences, smoth=1)
    with pytest.raises(RequestError, match="characters has no option 'x'; it has none"):
        train_segmenter("characters", x=1)
    (tmp_path / "words.txt").write_text("北京 3\n", "utf-8")
    assert train_segmenter("dictionary", words=tmp_path / "words.txt").segment("在北京") == ["在", "北京"]
