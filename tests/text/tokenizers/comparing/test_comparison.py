"""A comparison from source to result, each tokenizer in a process of its own."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from paribus.errors import RequestError
from paribus.text.data.preparing import prepare
from paribus.text.tokenizers import get_tokenizer
from paribus.text.tokenizers.comparing import Request, compare, contenders
from paribus.text.tokenizers.comparing.page import page
from paribus.text.tokenizers.comparing.sides import SideText, divided
from paribus.text.tokenizers.comparing.tables import tables


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    drawn = random.Random(0)
    words = ["cat", "hat", "Mat", "größe", "<s>", "the", "of", "where", "1234"]
    path = tmp_path_factory.mktemp("compare") / "source.jsonl"
    with path.open("w") as file:
        for number in range(40):
            text = f"document {number}\n" + " ".join(drawn.choices(words, k=60)) + "\n"
            file.write(json.dumps({"text": text}) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PARIBUS_CACHE", str(path.parent / "cache"))
        yield path


def held(source: Path, cache: Path) -> list[str]:
    data = divided(source, cache=cache)
    return list(SideText(data.heldout, data.open_tokenizer()))


def test_both_sides_are_documents_of_the_source_and_those_of_a_study(source: Path, tmp_path: Path) -> None:
    data = divided(source, cache=source.parent / "cache")
    sides = [set(SideText(split, data.open_tokenizer())) for split in (data.train, data.heldout)]
    everything = {json.loads(line)["text"] for line in source.read_text().splitlines()}
    assert sides[0] | sides[1] == everything and not sides[0] & sides[1]
    compare(Request(source=str(source), contenders=contenders(["byte_bpe"], [300]), folder=tmp_path / "kept"))
    own = get_tokenizer(str(tmp_path / "kept" / "byte_bpe-300"))
    other = prepare(source, tokenizer=own, cache=source.parent / "cache")
    assert sides[1] == set(SideText(other.heldout, own))


def test_a_side_can_be_cut_to_whole_documents(source: Path) -> None:
    data = divided(source, cache=source.parent / "cache")
    sizes = [len(text.encode()) for text in SideText(data.train, data.open_tokenizer())]
    two = SideText(data.train, data.open_tokenizer(), most_bytes=sum(sizes[:2]) + 1)
    assert len(list(two)) == two.documents == 2 and two.bytes == sum(sizes[:2])
    assert len(list(SideText(data.train, data.open_tokenizer(), most_bytes=1))) == 1


@pytest.fixture(scope="module")
def results(source: Path) -> dict[str, Any]:
    told: list[str] = []
    found = compare(
        Request(
            source=str(source),
            contenders=contenders(["wordpiece", "dictionary"], [320], normaliser="lowercase")
            + contenders(["byte_bpe"], [320])
            + contenders(["byte"], [320, 330]),
            sentence="Größe\n<b>",
        ),
        progress=lambda stage, done, total, unit: told.append(f"{stage} {done == total}"),
    )
    assert "training byte_bpe:320 True" in told and "measuring byte_bpe:320 True" in told
    return found


def test_lossy_tokenizers_are_not_ranked_and_what_is_refused_stops_nobody(
    results: dict[str, Any], source: Path
) -> None:
    assert results["ranked"] == ["byte_bpe:320", "byte:320"]
    assert results["lossy"] == ["wordpiece:320"]
    rows = results["rows"]
    lossy, lossless = rows[0], rows[1]
    assert lossy["loses"] == ["capital letters"] and lossy["round_trips"]["failed"] == 4
    assert "M" in lossy["round_trips"]["example"]["text"]
    refused = {each["label"]: each["reason"] for each in results["refused"]}
    assert "segmented" in refused["dictionary:320"]
    assert "it is byte:320 again" in refused["byte:330"]
    assert lossless["training"]["bytes"] == results["source"]["train_bytes"]
    assert lossless["training"]["peak_bytes"] is None or lossless["training"]["peak_bytes"] > 0
    texts = held(source, source.parent / "cache")
    assert (
        lossless["bytes"] == sum(len(text.encode()) for text in texts) == results["source"]["heldout_bytes"]
    )
    assert lossless["bytes_per_token"]["value"] == lossless["bytes"] / lossless["tokens"]
    assert lossless["bytes_per_token"]["low"] < lossless["bytes_per_token"]["value"]
    assert {each["condition"] for each in results["differs"]} == {"vocab_size", "usable", "normaliser"}


def test_the_page_colours_the_sentence_and_escapes_it(results: dict[str, Any]) -> None:
    made = page(results)
    assert "<b>" not in made and "⏎" in made and "&lt;" in made
    assert "http" not in made.replace("http-equiv", "") and "<script" not in made
    assert [table.title for table in tables(results)][-1] == "Not compared"


def test_nothing_to_compare_is_one_sentence(source: Path) -> None:
    with pytest.raises(RequestError, match="vocab_size 5 leaves 4"):
        compare(Request(source=str(source), contenders=contenders(["byte_bpe"], [5])))


@pytest.mark.parametrize(
    ("methods", "sizes", "options", "said"),
    [
        (["bite_bpe"], [300], {}, "did you mean byte_bpe"),
        (["byte_bpe", "byte_bpe"], [300], {}, "is given twice"),
        (["byte_bpe"], [300, 300], {}, "given twice"),
        (["byte_bpe", "char"], [300], {"cover": 1}, "did you mean coverage"),
        ([], [300], {}, "nothing to compare"),
    ],
)
def test_contenders_that_cannot_be(methods: list[str], sizes: list[int], options: Any, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        contenders(methods, sizes, options=options)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"over": "seen"}, "declared or observed"),
        ({"alpha": 0.0}, "above 0"),
        ({"split": "gpt5"}, "did you mean gpt4"),
        ({"sentence": " "}, "empty"),
        ({"train_bytes": 0}, "at least 1 byte"),
        ({"contenders": contenders(["byte"], [257]) * 2}, "different labels"),
    ],
)
def test_requests_that_cannot_be(fields: Any, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        Request(**{"source": "stdlib", "contenders": contenders(["byte"], [257]), **fields})


def test_a_smaller_held_out_side_is_a_part_of_a_larger_one(source: Path) -> None:
    """So models can be scored on less than a comparison held out, and their tokenizers have not seen it."""
    sides = []
    for share in (0.05, 0.3):
        data = divided(source, cache=source.parent / "cache", held_out=share)
        sides.append(set(SideText(data.heldout, data.open_tokenizer())))
    assert sides[0] < sides[1]
