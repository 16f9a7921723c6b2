"""From lines to packed rows: what is scored, what becomes of long rows, and that every token is accounted for."""

import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paribus.errors import RequestError, WorkError
from paribus.text.data import prepare
from paribus.text.data.sft import (
    LOSSES,
    OVERFLOWS,
    PADDING,
    PackedDataset,
    PackedSplit,
    batch_rows,
    check_packed,
    is_packed,
    load_packed,
    pack,
)
from paribus.text.data.sft.ledger import Ledger
from paribus.text.tokenizers import get_tokenizer

from .conftest import Write, pair

BYTES = get_tokenizer("bytes")
END = BYTES.end_of_document


def _pack(source: Path, seq_len: int = 16, **options: Any) -> PackedDataset:
    return pack(source, source.parent / "packed", tokenizer=BYTES, seq_len=seq_len, **options).dataset


def _documents(split: PackedSplit) -> list[tuple[list[int], list[bool]]]:
    """Ids and scores of each document, out of its row by the document's number."""
    rows = split.rows(np.arange(split.num_rows))
    found = []
    for ids, scored, position, document in zip(*rows, strict=True):
        for number in range(int(document.max()) + 1):
            here = document == number
            assert position[here].tolist() == list(range(here.sum()))
            found.append((ids[here].tolist(), scored[here].tolist()))
        padding = document == PADDING
        assert not scored[padding].any() and (ids[padding] == END).all()
    return found


def _expected(rows: Sequence[dict[str, str]], seq_len: int, overflow: str, loss: str) -> Counter[Any]:
    """The documents by the definition, one token at a time."""
    expected: Counter[Any] = Counter()
    for row in rows:
        asked, answered = row["prompt"].encode(), [*row["answer"].encode(), END]
        ids = [*asked, *answered]
        learn = [loss == "all"] * len(asked) + [True] * len(answered)
        if len(ids) > seq_len and overflow == "drop":
            continue
        pieces = [slice(start, start + seq_len) for start in range(0, len(ids), seq_len)]
        for piece in pieces if overflow == "split" else pieces[:1]:
            scored = [False, *learn[piece][1:]]
            if any(scored):
                expected[tuple(ids[piece]), tuple(scored)] += 1
    return expected


@given(
    sizes=st.lists(st.tuples(st.integers(4, 30), st.integers(1, 40)), min_size=4, max_size=30),
    overflow=st.sampled_from(OVERFLOWS),
    loss=st.sampled_from(LOSSES),
)
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_token_is_lost_or_doubled_and_the_ledger_says_where_each_went(
    sizes: list[tuple[int, int]], overflow: str, loss: str, write: Write
) -> None:
    rows = [pair(number, *size) for number, size in enumerate([(4, 4), (5, 5), *sizes])]
    data = _pack(write(rows), 16, overflow=overflow, loss=loss)
    documents = [*_documents(data.train), *_documents(data.heldout)]
    assert Counter((tuple(ids), tuple(scored)) for ids, scored in documents) == _expected(
        rows, 16, overflow, loss
    )
    ledger = Ledger(**data.ledger)
    ledger.check()
    assert ledger.documents == len(rows)
    assert ledger.tokens == sum(len(row["prompt"]) + len(row["answer"]) + 1 for row in rows)
    assert ledger.kept == sum(len(ids) for ids, _ in documents)
    assert ledger.loss_bearing == sum(sum(scored) for _, scored in documents)
    scored_ids = [
        i for ids, scored in documents for i, is_scored in zip(ids, scored, strict=True) if is_scored
    ]
    assert data.train.scored_bytes + data.heldout.scored_bytes == sum(i != END for i in scored_ids)


def test_a_ledger_that_does_not_add_up_is_no_result() -> None:
    with pytest.raises(AssertionError, match="places in rows: 10 = 7 kept"):
        Ledger(places=10, kept=7, tokens=7, learnable=0, padded=2).check()


def test_no_prompt_is_on_both_sides(write: Write) -> None:
    rows = [
        {"prompt": f"prompt {number * number % 11}", "answer": f"answer {number}"} for number in range(70)
    ]
    data = _pack(write(rows), 64, held_out=0.3)
    prompts = [{bytes(ids[:8]) for ids, _ in _documents(split)} for split in (data.train, data.heldout)]
    assert len(prompts[0] | prompts[1]) == 6 and not prompts[0] & prompts[1]
    assert data.heldout.num_tokens >= 0.3 * data.ledger["kept"]


def test_one_prompt_alone_cannot_be_held_out(write: Write) -> None:
    with pytest.raises(RequestError, match="1 different prompt with"):
        _pack(write([{"prompt": "same", "answer": str(number)} for number in range(5)]))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", "is not JSON: Expecting property name"),
        ("[1]", "is not a JSON object"),
        ({"text": "x"}, "nor a prompt with an answer .* its fields are 'text'"),
        ({"prompt": "x", "answer": ""}, "has no answer: its 'answer' is empty"),
        ({"prompt": "x", "answer": 3}, "has no text under 'answer' but a number"),
        ({"prompt": "x", "answer": "\ud800"}, "has a lone surrogate under 'answer'"),
        ({"messages": []}, "has no list of messages"),
        ({"messages": [{"role": "user", "content": "x"}]}, "none of its messages is from the 'assistant'"),
        ({"messages": [{"role": "asistant", "content": "x"}]}, "did you mean assistant"),
        ({"messages": [{"role": "user"}]}, "no 'role' and 'content' in message 1"),
    ],
)
def test_a_bad_line_is_one_sentence_with_its_number_or_passed_over(
    row: Any, message: str, write: Write
) -> None:
    source = write([pair(1, 5, 5), pair(2, 5, 5), row, pair(3, 5, 5)])
    with pytest.raises(RequestError, match=f"line 3 of .*rows.jsonl .*{message}"):
        _pack(source)
    assert not (source.parent / "packed").exists()
    packed = pack(source, source.parent / "packed", tokenizer=BYTES, seq_len=16, skip_bad=True)
    assert packed.dataset.ledger["bad"] == 1 and packed.dataset.ledger["documents"] == 3
    assert "line 3 of" in packed.bad_lines[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"overflow": "cut"}, "no --overflow 'cut'"),
        ({"loss": "answer"}, "did you mean answers"),
        ({"seq_len": 1}, "at least 2 tokens"),
        ({"held_out": 1.0}, "less than 1"),
        ({"template": "chat-ml"}, "did you mean chatml"),
        ({"template": "own"}, "no chat template of its own"),
    ],
)
def test_what_cannot_be_asked_is_said(options: dict[str, Any], message: str, write: Write) -> None:
    with pytest.raises(RequestError, match=message):
        _pack(write([pair(1, 5, 5), pair(2, 5, 5)]), **options)


def test_what_is_not_ours_is_not_replaced(write: Write, tmp_path: Path) -> None:
    source = write([pair(number, 5, 5) for number in range(9)])
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / "diary.txt").write_text("dear")
    with pytest.raises(RequestError, match="holds something else"):
        _pack(source)
    (tmp_path / "packed" / "diary.txt").unlink()
    first = _pack(source)
    (tmp_path / "packed" / "diary.txt").write_text("dear")
    with pytest.raises(RequestError, match="holds something else"):
        _pack(source)
    (tmp_path / "packed" / "diary.txt").unlink()
    assert _pack(source).sha256 == first.sha256 != _pack(source, 32).sha256


def test_a_pipe_is_not_replaced_by_a_folder_nor_a_link_by_what_it_leads_to(
    write: Write, tmp_path: Path
) -> None:
    source, out = write([pair(number, 5, 5) for number in range(9)]), tmp_path / "packed"
    os.mkfifo(out)
    with pytest.raises(RequestError, match="holds something else"):
        _pack(source)
    assert out.is_fifo()
    out.unlink()
    out.symlink_to(tmp_path / "there")
    for seq_len in (16, 32):
        _pack(source, seq_len)
        assert out.is_symlink() and load_packed(tmp_path / "there").seq_len == seq_len


def test_a_cut_or_foreign_folder_is_refused(write: Write, tmp_path: Path) -> None:
    data = _pack(write([pair(number, 5, 5) for number in range(9)]))
    assert is_packed(data.folder) and load_packed(data.folder) == data
    with pytest.raises(RequestError, match="packed conversations, which paribus train and paribus study sft"):
        prepare(data.folder, tokenizer=BYTES, cache=tmp_path / "cache")
    tokens = data.folder / "train-tokens.bin"
    tokens.write_bytes(tokens.read_bytes()[:-2])
    with pytest.raises(RequestError, match="train-tokens.bin has .* bytes and should have"):
        load_packed(data.folder)
    (data.folder / "meta.json").write_text(json.dumps({"kind": "another"}))
    assert not is_packed(data.folder)
    with pytest.raises(RequestError, match="no whole folder of packed conversations"):
        load_packed(data.folder)


@pytest.mark.parametrize(
    "file", ["train-tokens.bin", "train-scored.bin", "heldout-documents.bin", "heldout-rows.bin"]
)
def test_a_changed_byte_is_found_when_all_are_read(write: Write, file: str) -> None:
    data = _pack(write([pair(number, 5, 5) for number in range(9)]))
    told: list[tuple[int, int]] = []
    read = check_packed(data, progress=lambda done, total: told.append((done, total)))
    assert read == sum(path.stat().st_size for path in data.folder.glob("*.bin"))
    assert told[0] == (0, read) and told[-1] == (read, read)
    content = bytearray((data.folder / file).read_bytes())
    content[-1] ^= 1
    (data.folder / file).write_bytes(content)
    with pytest.raises(WorkError, match="is damaged: its numbers are not those that were written"):
        check_packed(load_packed(data.folder), progress=lambda done, total: None)


def test_an_epoch_visits_every_row_once_and_fewer_rows_are_among_more(write: Write) -> None:
    train = _pack(write([pair(number, 6, 7) for number in range(60)])).train

    def seen(steps: int, **options: Any) -> list[bytes]:
        batches = [batch_rows(train, seed=3, step=step, batch_size=4, **options) for step in range(steps)]
        return [row.tobytes() for rows in batches for row in rows.ids]

    every = Counter(seen(train.num_rows))
    assert len(every) == train.num_rows and set(every.values()) == {4}
    few, more = Counter(seen(6, unique_rows=8)), set(seen(6, unique_rows=12))
    assert set(few.values()) == {3} and len(few) == 8 and set(few) < more and len(more) == 12
