"""The audit as a whole: sums that add up, the ledger, held-out text, and what a training is worth."""

import gzip
import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paribus.errors import RequestError, WorkError
from paribus.text.data import prepare
from paribus.text.data.audit import Settings, audit, page
from paribus.text.data.audit.law import R_STAR, effective_tokens
from paribus.text.data.audit.worth import count, worth
from paribus.text.tokenizers import ByteTokenizer

WORDS = [f"w{number}" for number in range(400)]
COUNTED = ("documents", "bytes", "tokens")


def texts_with_copies() -> list[str]:
    """20 texts, then 6 exact copies and 8 near copies of them, in a fixed mixed order."""
    draw = random.Random(0)
    texts = [" ".join(draw.choices(WORDS, k=draw.randint(150, 300))) for _ in range(20)]
    near = [f"{text} and more {number}" for number, text in enumerate(texts[:8])]
    made = [*texts[:10], *texts[:4], *near, *texts[10:], texts[2], texts[15]]
    return [*made[:5], "", "   ", *made[5:]]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts_with_copies()))
    return path


@pytest.fixture
def audited(tmp_path: Path, source: Path) -> Callable[..., dict[str, Any]]:
    def run(what: Path | None = None, **given: Any) -> dict[str, Any]:
        return audit(what or source, Settings(**{"workers": 1} | given), cache=tmp_path / "cache")

    return run


def test_every_document_is_kept_or_a_copy_or_nearly_one(audited: Callable[..., dict[str, Any]]) -> None:
    results = audited()
    assert [results[kind]["documents"] for kind in ("exact", "near", "kept")] == [6, 8, 20]
    assert results["source"]["left_out"] == 2
    for name in COUNTED:
        assert sum(results[kind][name] for kind in ("exact", "near", "kept")) == results["source"][name]
        assert sum(results[kind]["share"][name] for kind in ("exact", "near", "kept")) == pytest.approx(1)
    assert results["source"]["tokens"] == results["source"]["bytes"]  # the byte tokenizer
    assert results["near"]["clusters"] == 8 and results["near"]["sizes"] == [[2, 8]]
    assert results["exact"]["largest"][0]["times"] == 3
    assert 0.9 < results["near"]["largest"][0]["farthest"]["similarity"] < 1


def test_the_ledger_adds_up_and_the_cleaned_set_has_nothing_left_to_clean(
    audited: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    results = audited(dedup=tmp_path / "clean.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "clean.ledger.jsonl").read_text().splitlines()]
    clean = [json.loads(line)["text"] for line in (tmp_path / "clean.jsonl").read_text().splitlines()]
    for why, kind in (("exact copy", "exact"), ("near duplicate", "near")):
        gone = [row for row in rows if row["why"] == why]
        assert len(gone) == results[kind]["documents"]
        assert sum(row["bytes"] for row in gone) == results[kind]["bytes"]
        assert sum(row["tokens"] for row in gone) == results[kind]["tokens"]
    assert len(clean) == results["kept"]["documents"]
    assert sum(len(text.encode()) for text in clean) == results["kept"]["bytes"]

    lines = (tmp_path / "source.jsonl").read_text().splitlines()
    text_of = {f"{tmp_path}/source.jsonl:{n}": json.loads(line)["text"] for n, line in enumerate(lines, 1)}
    gone_places = {row["document"] for row in rows}
    assert [text for place, text in text_of.items() if place not in gone_places and text.strip()] == clean
    for row in rows:
        assert row["kept"] not in gone_places and text_of[row["document"]].startswith(row["begins"])
        assert (text_of[row["document"]] == text_of[row["of"]]) == (row["why"] == "exact copy")
        assert row["similarity"] == 1 if row["why"] == "exact copy" else 0.8 <= row["similarity"] < 1

    again = audited(tmp_path / "clean.jsonl")
    assert again["exact"]["documents"] == again["near"]["documents"] == 0


def test_a_kept_line_of_json_is_written_as_it_was(
    audited: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paribus.text.data.audit.reading._BATCH_DOCUMENTS", 2)
    folder = tmp_path / "folder"
    folder.mkdir()
    base = " ".join(random.Random(1).choices(WORDS, k=200))
    lines = [
        '{"id": 1.10, "text": "caf\\u00e9", "tags": {"b": [1, 2], "a": null}}',
        '  {"text": "sch\u00f6n", "text ": 1e400}',
        json.dumps({"id": 3, "text": base}),
        json.dumps({"id": 4, "text": "caf\u00e9"}),
        json.dumps({"id": 5, "text": base + " more"}),
    ]
    (folder / "a.jsonl").write_bytes(b"\xef\xbb\xbf" + "\r\n\n".join(lines).encode())
    with gzip.open(folder / "b.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write('{"text": "packed", "id": 6}\n' + lines[0])
    (folder / "c.txt").write_text("plain")
    audited(folder, dedup=tmp_path / "clean.jsonl", workers=2)
    kept = [*lines[:3], '{"text": "packed", "id": 6}', '{"text": "plain"}']
    assert (tmp_path / "clean.jsonl").read_text(encoding="utf-8") == "".join(f"{line}\n" for line in kept)


def test_lines_are_not_kept_where_nothing_is_cleaned(source: Path, tmp_path: Path) -> None:
    sizes: list[int] = []

    def look(stage: str, done: int, total: int, unit: str) -> None:
        if stage == "13-grams":
            sizes.extend(path.stat().st_size for path in (tmp_path / "cache" / "audits").glob("*/lines"))

    audit(source, Settings(workers=1), cache=tmp_path / "cache", progress=look)
    assert set(sizes) == {0}


def test_a_cleaned_set_that_cannot_be_written_is_one_sentence_with_its_folder(
    source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()

    def take_away(stage: str, done: int, total: int, unit: str) -> None:
        if stage == "50-grams" and out.exists():
            out.rmdir()

    with pytest.raises(WorkError, match=f"writing to {out} failed"):
        audit(
            source,
            Settings(workers=1, dedup=out / "clean.jsonl"),
            cache=tmp_path / "cache",
            progress=take_away,
        )


def test_a_copy_of_what_went_as_a_near_copy_names_what_is_kept(
    audited: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    base = " ".join(random.Random(1).choices(WORDS, k=200))
    path = tmp_path / "three.jsonl"
    texts = [base, base + " more", base + " more"]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    audited(path, dedup=tmp_path / "clean.jsonl")
    near, copy = [json.loads(line) for line in (tmp_path / "clean.ledger.jsonl").read_text().splitlines()]
    assert near["of"] == near["kept"] == copy["kept"] == f"{path}:1"
    assert copy["why"] == "exact copy" and copy["of"] == f"{path}:2"


def test_workers_change_nothing(audited: Callable[..., dict[str, Any]]) -> None:
    one, three = audited(), audited(workers=3, memory=2**20)
    assert {**one, "seconds": 0} == {**three, "seconds": 0}


def test_runs_are_counted_in_tokens_of_the_source_only(audited: Callable[..., dict[str, Any]]) -> None:
    results = audited(ngrams=(50, 5))
    assert [row["n"] for row in results["ngrams"]] == [5, 50]
    five, fifty = results["ngrams"]
    repeated = results["exact"]["bytes"] + results["near"]["bytes"]
    # Copies are inside runs of 50 from end to end; of the near ones a few bytes are new.
    assert repeated - 8 * len(" and more 0") <= fifty["tokens"] < repeated < five["tokens"]
    assert five["share"] == five["tokens"] / results["source"]["tokens"]
    assert sum(fifty["documents"]) == results["source"]["documents"]
    assert fifty["documents"][9] >= 14


def test_held_out_text_is_found_in_the_source(audited: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    texts = texts_with_copies()
    fresh = " ".join(random.Random(9).choices([f"v{number}" for number in range(400)], k=200))
    path = tmp_path / "heldout.jsonl"
    heldout = [texts[0], texts[3] + " with an end", fresh, fresh]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in heldout))
    results = audited(against=str(path))
    found = results["heldout"]
    assert [found["documents"], found["exact"]["documents"], found["near"]["documents"]] == [4, 1, 1]
    # That the fresh text is there twice is an affair of the held-out text alone.
    sizes = [len(text) for text in heldout]
    assert sizes[0] + sizes[1] - 12 <= found["ngrams"][1]["tokens"] <= sizes[0] + sizes[1]
    assert [row["of"] for row in found["examples"]] == [
        f"{tmp_path}/source.jsonl:{number}"
        for number, _ in sorted([(1, sizes[0]), (4, sizes[1])], key=lambda pair: -pair[1])
    ]
    alone = audited()
    assert {key: alone[key] for key in ("exact", "near", "kept", "worth", "ngrams")} == {
        key: results[key] for key in ("exact", "near", "kept", "worth", "ngrams")
    }


def test_a_prepared_dataset_is_audited_with_its_own_held_out_text(
    audited: Callable[..., dict[str, Any]], source: Path, tmp_path: Path
) -> None:
    dataset = prepare(source, tokenizer=ByteTokenizer(), cache=tmp_path / "prepared")
    results = audited(dataset.folder)
    # Prepared data have no copies, and no near copies over the border.
    assert results["exact"]["documents"] == 0 and results["source"]["bytes"] == dataset.train.num_bytes
    assert results["heldout"]["documents"] == dataset.heldout.num_documents
    assert results["heldout"]["exact"]["documents"] == results["heldout"]["near"]["documents"] == 0
    with pytest.raises(RequestError, match="leave --against out"):
        audited(dataset.folder, against=str(source))


def test_the_law_gives_the_loss_that_its_authors_print() -> None:
    # Constants of arXiv:2305.16264, appendix A; the loss is the example in the README of its code: 6.34e9 parameters,
    # 242e9 tokens, of which 25e9 are different.
    log_a, log_b, log_e, exponent, r_parameters = 6.255414, 7.3049974, 0.6254804, 0.3526596, 5.309743
    parameters, tokens, unique = 6.34e9, 242e9, 25e9
    needed = min(parameters, unique * math.exp((log_a - log_b) / exponent))  # what is optimal for U tokens
    excess = parameters / needed - 1
    worth_parameters = needed * (1 + r_parameters * (1 - math.exp(-excess / r_parameters)))
    worth_tokens = effective_tokens(tokens, tokens / unique)
    loss = math.exp(log_e) + math.exp(log_a) * worth_parameters**-exponent
    assert loss + math.exp(log_b) * worth_tokens**-exponent == pytest.approx(2.2256440889984477, abs=1e-12)


def test_what_a_training_is_worth() -> None:
    found = worth(tokens=40_000_000, unique=31_000_000, passes=None, planned=130.2e6)
    assert found["said"] == "4.2 passes over 31 M unique tokens are worth 121 M fresh ones"
    assert found["passes"] == pytest.approx(4.2)
    assert worth(tokens=40_000_000, unique=31_000_000, passes=3.255, planned=None)["said"] == found["said"]
    assert worth(tokens=100, unique=50, passes=1e9, planned=None)["effective"] == pytest.approx(
        50 * (1 + R_STAR)
    )
    fresh = worth(tokens=40, unique=31, passes=None, planned=20)
    assert fresh["effective"] == 20 and "fresh" in fresh["said"]
    assert [count(number) for number in (999.7, 12_345, 1e6, 999_999, 2.5e9)] == [
        "1 k",
        "12.3 k",
        "1 M",
        "1 M",
        "2.5 G",
    ]


def test_the_page_shows_what_was_found_and_runs_nothing_from_the_text(
    audited: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    bad = "<script>alert(1)</script> " * 20
    path = tmp_path / "bad.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in [*texts_with_copies(), bad, bad]))
    results = audited(path, against=str(path))
    shown = page(results)
    assert "<script" not in shown and "&lt;script&gt;" in shown and "http://" not in shown
    assert results["worth"]["said"] in shown and "Held-out text that is in the source" in shown
    assert f"{results['near']['documents']:,}" in shown


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"similarity": 0.3}, "similarity is 0.3"),
        ({"ngrams": (1,)}, "n-grams have 2 to 10,000"),
        ({"ngrams": ()}, "asked for: none"),
        ({"passes": 0.0}, "--passes is a number above zero"),
        ({"passes": math.inf}, "--passes is a number above zero"),
        ({"passes": 1.0, "tokens": 5.0}, "give one of"),
        ({"workers": 0}, "at least 1 worker"),
        ({"memory": 10}, "at least 1 MiB"),
        ({"tokenizer": "bites"}, "did you mean bytes"),
        ({"against": "nowhere"}, "no file or folder"),
        ({"text_field": "content"}, "no field 'content'"),
        ({"dedup": Path("clean.txt")}, "--dedup writes a .jsonl"),
        ({"dedup": Path("no/where.jsonl")}, "no folder to write"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(
    audited: Callable[..., dict[str, Any]], given: dict[str, Any], said: str
) -> None:
    with pytest.raises(RequestError, match=said):
        audited(**given)


def test_nothing_is_written_over_or_left_behind(
    audited: Callable[..., dict[str, Any]], source: Path, tmp_path: Path
) -> None:
    with pytest.raises(RequestError, match="is there already"):
        audited(dedup=source)
    with pytest.raises(KeyboardInterrupt):
        audit(
            source,
            Settings(workers=2, dedup=tmp_path / "clean.jsonl"),
            cache=tmp_path / "cache",
            progress=_interrupt,
        )
    assert not list((tmp_path / "cache" / "audits").glob("*")) and not (tmp_path / "clean.jsonl").exists()


def _interrupt(stage: str, done: int, total: int, unit: str) -> None:
    if stage == "50-grams":
        raise KeyboardInterrupt


def test_a_source_without_text_is_refused(audited: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    path = tmp_path / "blank.jsonl"
    path.write_text('{"text": " "}\n')
    with pytest.raises(RequestError, match="holds no text"):
        audited(path)


def test_a_source_shorter_than_a_run_has_none(audited: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    path = tmp_path / "short.txt"
    path.write_text("hi")
    results = audited(path)
    assert [row["tokens"] for row in results["ngrams"]] == [0, 0] and not results["spans"]
    assert page(results)
