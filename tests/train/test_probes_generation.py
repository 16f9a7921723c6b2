"""What is written is what generate gives, and copies are found exactly."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from paribus.errors import RequestError
from paribus.model.generate import generate
from paribus.model.initialise import initialise
from paribus.text.data import Dataset, heldout_windows
from paribus.train.probes import copying, make_probe
from paribus.train.probes.copying import distinct, longest_copy
from paribus.train.program import Program

from .conftest import MODEL, TRAIN

TRAIN32 = dataclasses.replace(TRAIN, dtype="float32")


def made(**changes: Any) -> Program:
    program = Program(dataclasses.replace(MODEL, **changes), TRAIN32)
    initialise(program.model, seed=0)
    return program


def generation(
    program: Program, data: Dataset, *, config: Any = TRAIN32, seed: int = 0, **options: Any
) -> dict[str, Any]:
    return make_probe("generation", options).at_end(program, data, config, seed=seed)


def brute_force(ids: np.ndarray, text: np.ndarray) -> int:
    spans = {
        tuple(row[a:b].tolist()) for row in ids for a in range(len(row)) for b in range(a + 1, len(row) + 1)
    }
    words = text.tolist()
    return max(
        (len(s) for s in spans if any(tuple(words[i : i + len(s)]) == s for i in range(len(words)))),
        default=0,
    )


@pytest.mark.parametrize("hash_bits", [64, 3])
@pytest.mark.parametrize("chunk", [2**19, 7, 1])
def test_the_longest_copy_is_that_of_brute_force(
    chunk: int, hash_bits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when hashes collide, and when copies reach over the borders of chunks."""
    monkeypatch.setattr(copying, "_CHUNK", chunk)
    draw = np.random.default_rng(0)
    lengths = []
    for case in range(40):
        alphabet = int(draw.integers(1, 6))
        text = draw.integers(0, alphabet, draw.integers(1, 40))
        ids = draw.integers(0, alphabet + case % 2, (draw.integers(1, 4), draw.integers(1, 9)))
        found = longest_copy(
            ids,
            lambda start, length, text=text: text[start : start + length],
            num_tokens=len(text),
            hash_bits=hash_bits,
        )
        words = [tuple(text[i : i + len(found)].tolist()) for i in range(len(text))]
        assert not len(found) or tuple(found.tolist()) in words
        assert len(found) == brute_force(ids, text), (ids, text)
        lengths.append(len(found))
    assert {0, 1, 2, 3} <= set(lengths)


def test_a_copy_does_not_reach_over_two_rows_and_keeps_to_the_text_it_is_given() -> None:
    text = np.arange(100)
    ids = np.array([[50, 51, 52, 90], [53, 90, 7, 90]])
    for visible, expected in ((100, [50, 51, 52]), (52, [50, 51]), (9, [7]), (5, [])):
        found = longest_copy(ids, lambda start, length: text[start : start + length], num_tokens=visible)
        assert found.tolist() == expected


def test_distinct_counts_each_gram_once() -> None:
    ids = np.array([[1, 2, 1, 2, 1], [1, 2, 3, 3, 3]])
    assert distinct(ids, 1) == 3 / 10
    assert distinct(ids, 2) == 4 / 8  # 12 21 | 12 23 33; none over the two rows
    assert distinct(ids, 3) == 5 / 6
    assert distinct(ids, 6) is None


def test_what_is_measured_is_what_the_model_writes_after_heldout_prompts(data: Dataset) -> None:
    program = made()
    found = generation(program, data, num_samples=3, prompt_tokens=5, length=9, seed=4)
    texts = heldout_windows(data.heldout, seq_len=13, num_tokens=3 * 13)
    prompts = torch.from_numpy(texts[:, :5].copy())
    written = generate(program.model, prompts, max_new_tokens=9, temperature=1.0, seed=4)[:, 5:].numpy()
    assert (found["samples"], found["prompt_tokens"], found["length"]) == (3, 5, 9)
    assert found["distinct"] == {str(n): distinct(written, n) for n in (1, 2, 3)}
    text = data.train.read(0, data.train.num_tokens)
    copied = longest_copy(written, lambda start, length: text[start : start + length], num_tokens=len(text))
    assert found["longest_copy"]["tokens"] == len(copied)
    assert found["heldout"]["distinct"] == {str(n): distinct(texts[:, 5:], n) for n in (1, 2, 3)}
    again = generation(program, data, num_samples=3, prompt_tokens=5, length=9, seed=5)
    assert again["distinct"] != found["distinct"]


def test_by_default_it_writes_up_to_the_trained_length(data: Dataset) -> None:
    found = generation(made(), data, num_samples=2, max_n=1)
    assert (found["prompt_tokens"], found["length"]) == (4, 12)
    assert found["distinct"].keys() == {"1"}


def test_positions_that_end_stop_the_text_and_others_go_on(data: Dataset) -> None:
    options: dict[str, Any] = {"num_samples": 2, "prompt_tokens": 4, "length": 40}
    assert generation(made(position="learned"), data, **options)["length"] == MODEL.max_seq_len - 4
    assert generation(made(position="rope"), data, **options)["length"] == 40


def test_prompts_that_leave_no_room_are_refused_at_the_start(data: Dataset) -> None:
    probe = make_probe("generation", {"prompt_tokens": 16, "length": 4})
    with pytest.raises(RequestError, match="leave no room.*16 tokens"):
        probe.at_start(made(position="learned"), data, TRAIN32, seed=0)


def test_only_the_text_that_the_run_sees_counts_as_copied(data: Dataset) -> None:
    seq_len, train = TRAIN32.seq_len, data.train

    def copied(count: int) -> int:
        """Window by window, over those that stand evenly over the text."""
        most = (train.num_tokens - seq_len) // seq_len
        windows = [train.read(i * most // count * seq_len, seq_len + 1) for i in range(count)]
        return max(
            len(
                longest_copy(
                    texts, lambda at, length, seen=seen: seen[at : at + length], num_tokens=len(seen)
                )
            )
            for seen in windows
        )

    options: dict[str, Any] = {"num_samples": 4, "prompt_tokens": 4, "length": 28}
    texts = heldout_windows(data.heldout, seq_len=31, num_tokens=4 * 31)[:, 4:]
    everywhere = generation(made(), data, **options)["heldout"]["longest_copy"]["tokens"]
    unlike = []
    for passes in (60, 30, 20, 12, 8, 5):
        repeating = dataclasses.replace(TRAIN32, passes=passes)
        assert repeating.unique_tokens is not None
        found = generation(made(), data, config=repeating, **options)["heldout"]["longest_copy"]["tokens"]
        assert found == copied(repeating.unique_tokens // seq_len)
        unlike.append(found != everywhere)
    assert any(unlike)


def test_a_model_without_finite_logits_writes_nothing(data: Dataset) -> None:
    program = made()
    with torch.no_grad():
        program.model.embedding.weight.fill_(torch.inf)
    found = generation(program, data)
    assert found == {"samples": 0, "reason": "the model's logits are not finite"}
