"""What holds for every objective, and next-token prediction."""

import dataclasses

import numpy as np
import pytest

from paribus.errors import RequestError
from paribus.text.tokenizers import get_tokenizer
from paribus.train.objectives import IGNORE, OBJECTIVES, Examples, Objective, get_objective

V = 50
ARRAYS = [field.name for field in dataclasses.fields(Examples)]


def windows(rows: int, seq_len: int, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, V, (rows, seq_len + 1))


def same(one: Examples, other: Examples) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ARRAYS)


@pytest.fixture(params=OBJECTIVES)
def objective(request: pytest.FixtureRequest) -> Objective:
    return get_objective(request.param)


def test_an_unknown_name_gets_the_nearest_one() -> None:
    with pytest.raises(RequestError, match="did you mean masked_token"):
        get_objective("maskd_token")


def test_options_reach_the_objective_and_unknown_ones_are_refused() -> None:
    assert get_objective("masked_token", share=0.3).tokens_per_window(100) == 30
    with pytest.raises(RequestError, match="no option 'shares'; did you mean share"):
        get_objective("masked_token", shares=0.3)
    with pytest.raises(RequestError, match="no option 'share'; it has none"):
        get_objective("next_token", share=0.3)


@pytest.mark.parametrize("rows", [0, 1, 5])
@pytest.mark.parametrize("seq_len", [2, 3, 4, 5, 7, 16, 33, 64, 199])
def test_shapes_are_those_that_lengths_tells(objective: Objective, rows: int, seq_len: int) -> None:
    lengths = objective.lengths(seq_len)
    examples = objective.examples(windows(rows, seq_len), seed=1, step=2, tokenizer_vocab=V)
    assert examples.inputs.shape == examples.targets.shape == (rows, lengths.inputs)
    assert (examples.source is None) == (lengths.source is None)
    if examples.source is not None:
        assert examples.source.shape == (rows, lengths.source)
        assert objective.architecture == "encoder_decoder"
    assert lengths.longest == max(lengths.inputs, lengths.source or 0)
    assert ((examples.targets != IGNORE).sum(axis=1) == lengths.scored).all()
    assert objective.tokens_per_window(seq_len) == lengths.scored >= 1
    assert examples.scored().shape == (rows * lengths.scored,)
    assert (examples.scored() < V).sum() == rows * lengths.scored_text


@pytest.mark.parametrize("seq_len", [2, 16, 199])
def test_ids_fit_the_models_vocabulary(objective: Objective, seq_len: int) -> None:
    examples = objective.examples(windows(8, seq_len), seed=0, step=0, tokenizer_vocab=V)
    size = objective.vocab_size(V, seq_len=seq_len)
    for ids in (examples.inputs, examples.source, examples.scored()):
        assert ids is None or (ids.min() >= 0 and ids.max() < size)


def test_arrays_are_int64_or_bool_and_contiguous(objective: Objective) -> None:
    examples = objective.examples(windows(4, 20).astype(np.uint16), seed=0, step=0, tokenizer_vocab=V)
    for batch in (examples, *examples.batches(3)):
        for array in (getattr(batch, name) for name in ARRAYS):
            assert array is None or (array.dtype == np.int64 and array.flags.c_contiguous)


def test_windows_are_left_as_they_were(objective: Objective) -> None:
    given = windows(4, 40)
    before = given.copy()
    examples = objective.examples(given, seed=0, step=0, tokenizer_vocab=V)
    examples.inputs[:] = examples.targets[:] = 0
    assert np.array_equal(given, before)


def test_windows_that_are_too_short_are_refused_with_the_least_length(objective: Objective) -> None:
    least = objective.min_seq_len
    for seq_len in (least - 1, 0):
        with pytest.raises(RequestError, match=f"seq_len is {seq_len}, .* needs at least {least}"):
            objective.examples(windows(2, seq_len), seed=0, step=0, tokenizer_vocab=V)
        with pytest.raises(RequestError, match=f"needs at least {least}"):
            objective.tokens_per_window(seq_len)
    assert objective.examples(windows(2, least), seed=0, step=0, tokenizer_vocab=V).scored().size


@pytest.mark.parametrize("wrong", [-1, V])
def test_ids_outside_the_tokenizers_are_refused(objective: Objective, wrong: int) -> None:
    given = windows(2, 8)
    given[1, 3] = wrong
    with pytest.raises(RequestError, match="the tokenizer's go from 0 to 49"):
        objective.examples(given, seed=0, step=0, tokenizer_vocab=V)


def test_windows_of_another_rank_are_refused(objective: Objective) -> None:
    with pytest.raises(RequestError, match=r"these have \[9\]"):
        objective.examples(windows(1, 8)[0], seed=0, step=0, tokenizer_vocab=V)


def test_the_same_arguments_give_the_same_examples(objective: Objective) -> None:
    given = windows(4, 64)
    first, second = (objective.examples(given, seed=3, step=5, tokenizer_vocab=V) for _ in range(2))
    assert same(first, second)


def test_what_is_drawn_stays_as_it_was_when_results_were_recorded() -> None:
    given = np.arange(32)[None].repeat(2, axis=0)
    masked = get_objective("masked_token").examples(given, seed=0, step=0, tokenizer_vocab=V)
    assert [np.flatnonzero(row == V).tolist() for row in masked.inputs] == [
        [2, 4, 5, 6, 20],
        [3, 11, 13, 14, 26],
    ]
    cut = get_objective("span_corruption").examples(given, seed=0, step=0, tokenizer_vocab=V)
    assert cut.inputs.tolist() == [[50, 52, 22, 23, 24, 25, 53, 30], [50, 52, 12, 13, 14, 15, 53, 30]]


@pytest.mark.parametrize("name", ["masked_token", "span_corruption"])
def test_another_seed_or_step_or_row_is_corrupted_otherwise(name: str) -> None:
    given = np.repeat(windows(1, 128), 2, axis=0)
    made = [
        get_objective(name).examples(given, seed=seed, step=step, tokenizer_vocab=V)
        for seed, step in [(0, 0), (0, 1), (1, 0), (1, 1), (1, 10), (11, 0)]
    ]
    rows = {tuple(row) for examples in made for row in examples.inputs}
    assert len(rows) == 2 * len(made)


def test_what_is_drawn_does_not_depend_on_the_ids(objective: Objective) -> None:
    given = windows(4, 64)
    moved = (given + 1) % V
    one, other = (objective.examples(w, seed=0, step=0, tokenizer_vocab=V) for w in (given, moved))
    for name in ("targets", "source"):
        before, after = getattr(one, name), getattr(other, name)
        if before is not None:
            ordinary = (before >= 0) & (before < V)
            assert np.array_equal(after, np.where(ordinary, (before + 1) % V, before))


def test_a_row_does_not_depend_on_how_many_follow(objective: Objective) -> None:
    given = windows(9, 64)
    whole = objective.examples(given, seed=0, step=0, tokenizer_vocab=V)
    part = objective.examples(given[:4], seed=0, step=0, tokenizer_vocab=V)
    assert same(part, next(whole.batches(4)))


def test_batches_hold_every_row_once_and_fill_up_with_rows_that_are_not_scored(
    objective: Objective,
) -> None:
    examples = objective.examples(windows(7, 16), seed=0, step=0, tokenizer_vocab=V)
    batches = list(examples.batches(3))
    assert [len(batch.inputs) for batch in batches] == [3, 3, 3]
    for name in ("inputs", "targets", "source"):
        whole = getattr(examples, name)
        if whole is not None:
            assert np.array_equal(np.concatenate([getattr(b, name) for b in batches])[:7], whole)
    assert (batches[-1].targets[1:] == IGNORE).all()
    assert np.array_equal(np.concatenate([batch.scored() for batch in batches]), examples.scored())


def test_next_token_scores_each_id_after_the_first() -> None:
    given = windows(3, 9)
    examples = get_objective("next_token").examples(given, seed=0, step=0, tokenizer_vocab=V)
    assert np.array_equal(examples.inputs, given[:, :-1])
    assert np.array_equal(examples.targets, given[:, 1:])
    assert get_objective("next_token").vocab_size(V, seq_len=9) == V


def test_bytes_of_next_token_are_those_of_the_text_after_the_first_id() -> None:
    tokenizer = get_tokenizer("bytes")
    ids = [*tokenizer.encode("xéa"), tokenizer.end_of_document, *tokenizer.encode("b")]
    examples = get_objective("next_token").examples(
        np.array([ids, ids]), seed=0, step=0, tokenizer_vocab=tokenizer.vocab_size
    )
    assert examples.scored_bytes(tokenizer.byte_lengths) == 2 * len("éab".encode())


def test_ids_that_an_objective_adds_have_no_bytes() -> None:
    lengths = np.arange(V) + 1
    examples = get_objective("span_corruption").examples(windows(3, 64), seed=0, step=0, tokenizer_vocab=V)
    expected = sum(lengths[i] for row in examples.targets for i in row if 0 <= i < V)
    assert examples.scored_bytes(lengths) == expected > 0
