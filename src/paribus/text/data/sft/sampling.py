"""Which packed rows a step sees: a pure function of (data, seed, step), as for the windows of a text."""

from __future__ import annotations

import numpy as np

from paribus.errors import RequestError
from paribus.text.data.sampling import permuted
from paribus.text.data.sft.dataset import Numbers, PackedSplit, Rows

_SUBSET = -1  # in place of an epoch: which rows a run sees at all


def batch_rows(
    split: PackedSplit, *, seed: int, step: int, batch_size: int, unique_rows: int | None = None
) -> Rows:
    """`batch_size` rows: number i = step * batch_size + r of n is visited in epoch i // n, each row once in each.

    n is `num_rows`, or `unique_rows`: then they are the first so many of an order of all rows drawn from the seed, so
    that fewer rows are among more. Raises `RequestError` for more unique rows than there are.
    """
    size = split.num_rows if unique_rows is None else unique_rows
    if not 1 <= size <= split.num_rows:
        raise RequestError(
            f"{size:,} different rows were asked for, and the {split.name} side has {split.num_rows:,}"
        )
    epoch, index = np.divmod(step * batch_size + np.arange(batch_size, dtype=np.int64), size)
    for number in np.unique(epoch).tolist():
        here = epoch == number
        index[here] = permuted(index[here], size, seed=seed, epoch=number)
    return split.rows(index if unique_rows is None else _of_subset(split, index, seed=seed))


def subset(split: PackedSplit, *, seed: int, unique_rows: int) -> Numbers:
    """int64 [unique_rows]: the rows that `batch_rows` takes from this seed with so many different ones."""
    return _of_subset(split, np.arange(unique_rows, dtype=np.int64), seed=seed)


def _of_subset(split: PackedSplit, index: Numbers, *, seed: int) -> Numbers:
    return permuted(index, split.num_rows, seed=seed, epoch=_SUBSET)


def spread_rows(split: PackedSplit, *, num_tokens: int) -> Numbers:
    """int64 [n]: n = num_tokens // seq_len rows evenly over the side, at least one and at most all.

    Rows lie in the order in which they were packed, those with the longest documents first.
    """
    count = min(max(num_tokens // split.seq_len, 1), split.num_rows)
    return np.arange(count, dtype=np.int64) * split.num_rows // count
