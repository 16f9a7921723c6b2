import numpy as np
import pytest

from paribus.errors import RequestError
from paribus.train.objectives import IGNORE, SequenceToSequence, end_id, pairs, start_id

V = 10
START, END = start_id(V), end_id(V)


@pytest.mark.parametrize("seq_len", [2, 3, 8, 9])
def test_the_first_half_is_the_source_and_the_rest_the_target(seq_len: int) -> None:
    windows = np.random.default_rng(0).integers(0, V, (3, seq_len + 1))
    examples = SequenceToSequence().examples(windows, seed=0, step=0, tokenizer_vocab=V)
    assert examples.source is not None
    assert examples.source.shape[1] == seq_len // 2
    assert np.array_equal(np.hstack([examples.source, examples.targets]), windows[:, :-1])
    assert (examples.inputs[:, 0] == START).all()
    assert np.array_equal(examples.inputs[:, 1:], examples.targets[:, :-1])


def test_the_vocabulary_has_start_and_end() -> None:
    assert (START, END) == (V, V + 1)
    assert SequenceToSequence().vocab_size(V, seq_len=8) == V + 2


def test_pairs_are_closed_and_padded_on_the_right() -> None:
    examples = pairs([[1, 2, 3], [], [4]], [[5], [6, 7], []], tokenizer_vocab=V)
    assert examples.source is not None and examples.source_valid is not None
    assert examples.inputs_valid is not None
    assert examples.source.tolist() == [[1, 2, 3, END], [END] * 4, [4, END, END, END]]
    assert examples.source_valid.astype(int).tolist() == [[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 0, 0]]
    assert examples.targets.tolist() == [[5, END, IGNORE], [6, 7, END], [END, IGNORE, IGNORE]]
    assert examples.inputs.tolist() == [[START, 5, END], [START, 6, 7], [START, END, END]]
    assert examples.inputs_valid.astype(int).tolist() == [[1, 1, 0], [1, 1, 1], [1, 0, 0]]
    assert examples.inputs.dtype == examples.targets.dtype == examples.source.dtype == np.int64


def test_given_lengths_are_kept_and_change_nothing_that_is_valid() -> None:
    sources, targets = [np.array([1, 2], dtype=np.uint16)], [np.array([3], dtype=np.uint16)]
    short = pairs(sources, targets, tokenizer_vocab=V)
    long = pairs(sources, targets, tokenizer_vocab=V, source_length=6, target_length=5)
    assert long.source is not None and long.source_valid is not None and short.source is not None
    assert (long.source.shape, long.inputs.shape, long.targets.shape) == ((1, 6), (1, 5), (1, 5))
    assert np.array_equal(long.source[long.source_valid], short.source[0])
    assert np.array_equal(long.scored(), short.scored())


def test_batches_of_pairs_keep_their_masks() -> None:
    examples = pairs([[1], [2, 3], [4]], [[5], [6], [7, 8]], tokenizer_vocab=V)
    first, last = examples.batches(2)
    assert first.source_valid is not None and last.source_valid is not None
    assert last.inputs_valid is not None and examples.inputs_valid is not None
    assert first.source_valid.sum(axis=1).tolist() == [2, 3]
    assert last.source_valid.sum(axis=1).tolist() == [2, 2]
    assert np.array_equal(last.inputs_valid[0], examples.inputs_valid[2])
    assert last.scored().tolist() == [7, 8, END]


@pytest.mark.parametrize(
    ("sources", "targets", "lengths", "told"),
    [
        ([], [], {}, "0 sources and 0 targets"),
        ([[1]], [], {}, "1 sources and 0 targets"),
        ([[1, 2]], [[3]], {"source_length": 2}, "longest source has 2 ids and one for its end"),
        ([[1]], [[2, 3]], {"target_length": 2}, "longest target has 2 ids and one for its end"),
        ([[1]], [[2]], {"source_length": 0}, "source_length is 0"),
        ([[V]], [[1]], {}, "a source has ids from 10 to 10"),
        ([[1]], [[2, -1]], {}, "a target has ids from -1 to 2"),
    ],
)
def test_pairs_that_cannot_be_are_refused(
    sources: list[list[int]], targets: list[list[int]], lengths: dict[str, int], told: str
) -> None:
    with pytest.raises(RequestError, match=told):
        pairs(sources, targets, tokenizer_vocab=V, **lengths)
