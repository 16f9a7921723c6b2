"""Training batches as a pure function of (data, seed, step, rank): no state, nothing to save or to restore.

The windows of an epoch are visited in the order of a keyed permutation that is computed where it is asked
for, so it costs no memory however long the text is. Held-out text is read in `evaluation.py`.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from math import isqrt

import numpy as np
import numpy.typing as npt

from paribus.errors import RequestError
from paribus.text.data.shards import Split

_ROUNDS = 4
# Odd 64-bit constants of splitmix64 (Steele, Lea and Flood 2014), whose finaliser is the round function here.
_MULTIPLY_1 = np.uint64(0xBF58476D1CE4E5B9)
_MULTIPLY_2 = np.uint64(0x94D049BB133111EB)
_SHIFT_1 = np.uint64(29)
_SHIFT_2 = np.uint64(32)


def num_windows(split: Split, *, seq_len: int) -> int:
    """Windows of one epoch, (num_tokens - seq_len) // seq_len: as many as fit at every phase.

    The count must not depend on the epoch's phase: else finding the epoch of a step would mean a sum over all
    epochs before it. The price is at most one window, at the end and in some epochs only.
    """
    return max(split.num_tokens - seq_len, 0) // seq_len


def batch(
    split: Split,
    *,
    seed: int,
    step: int,
    batch_size: int,
    seq_len: int,
    rank: int = 0,
    world_size: int = 1,
    unique_tokens: int | None = None,
) -> npt.NDArray[np.int64]:
    """int64 [batch_size, seq_len + 1]: inputs are [:, :-1], targets [:, 1:]; the same for the same arguments.

    Row r is window number i = (step * world_size + rank) * batch_size + r. With n = num_windows, epoch i // n
    visits each of its n windows once, at phase + seq_len * permutation(i % n); phase in [0, seq_len) and the
    permutation are drawn from sha256 of (seed, epoch).

    With `unique_tokens` an epoch is the n = unique_tokens // seq_len windows of `spread_windows`: the same text for
    every seed and in every epoch, seen once in every n * seq_len tokens of training. Raises `RequestError` if no
    window fits, or if `unique_tokens` is less than one window or more than all.
    """
    if batch_size < 1 or seq_len < 1 or step < 0 or not 0 <= rank < world_size:
        raise RequestError(
            f"no batch is at step={step}, batch_size={batch_size}, seq_len={seq_len}, rank={rank} of "
            f"world_size={world_size}: sizes start at 1, steps at 0, and ranks are less than world_size"
        )
    windows = num_windows(split, seq_len=seq_len)
    if windows == 0:
        raise RequestError(
            f"the {split.name} split has {split.num_tokens:,} tokens and one window of seq_len={seq_len} needs "
            f"{2 * seq_len:,}: give more text or a smaller seq_len"
        )
    if unique_tokens is not None:
        if not seq_len <= unique_tokens < (windows + 1) * seq_len:
            raise RequestError(
                f"unique_tokens is {unique_tokens:,}: at seq_len={seq_len} the {split.name} split can be cut to "
                f"{seq_len:,} tokens at least and {windows * seq_len:,} at most"
            )
        windows = unique_tokens // seq_len
    first = (step * world_size + rank) * batch_size
    starts = np.empty(batch_size, dtype=np.int64)
    row = 0
    while row < batch_size:  # more than one turn only where an epoch ends inside the batch
        epoch, index = divmod(first + row, windows)
        count = min(batch_size - row, windows - index)
        visited = permuted(np.arange(index, index + count), windows, seed=seed, epoch=epoch)
        if unique_tokens is None:
            starts[row : row + count] = visited * seq_len + _draw(seed, epoch, "phase") % seq_len
        else:
            starts[row : row + count] = spread_windows(split, visited, seq_len=seq_len, count=windows)
        row += count
    return split.windows(starts, seq_len + 1).astype(np.int64)


def spread_windows(
    split: Split, index: npt.NDArray[np.int64], *, seq_len: int, count: int
) -> npt.NDArray[np.int64]:
    """Where the windows `index` of `count` start that stand evenly over the whole text.

    So less text is not text about less: of half as many windows every one is among these, from every part.
    """
    return index * num_windows(split, seq_len=seq_len) // count * seq_len


def permuted(index: npt.NDArray[np.int64], size: int, *, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """What stands at `index` in an order of range(size) that is drawn from (seed, epoch)."""
    return _permuted(index.astype(np.uint64), size, _round_keys(seed, epoch)).astype(np.int64)


def _permuted(
    index: npt.NDArray[np.uint64], size: int, keys: tuple[tuple[np.uint64, np.uint64], ...]
) -> npt.NDArray[np.uint64]:
    """The keyed permutation of range(size), at `index`: a Feistel network over a grid, with cycle walking.

    The grid of rows x columns is the smallest near-square one that holds `size`, so that next to nothing falls
    outside: over a power of two, up to three quarters of all values would have to walk on.
    """
    columns = isqrt(size - 1) + 1
    rows = -(-size // columns)
    out = _through_grid(index, np.uint64(rows), np.uint64(columns), keys)
    while (outside := out >= size).any():
        out[outside] = _through_grid(out[outside], np.uint64(rows), np.uint64(columns), keys)
    return out


def _through_grid(
    index: npt.NDArray[np.uint64],
    rows: np.uint64,
    columns: np.uint64,
    keys: tuple[tuple[np.uint64, np.uint64], ...],
) -> npt.NDArray[np.uint64]:
    left, right = index // columns, index % columns
    for left_key, right_key in keys:
        # Each sum is a bijection of its own side only because the mixed value, of 32 bits, cannot overflow it.
        left = (left + _mixed(right, left_key)) % rows
        right = (right + _mixed(left, right_key)) % columns
    return left * columns + right


def _mixed(value: npt.NDArray[np.uint64], key: np.uint64) -> npt.NDArray[np.uint64]:
    """32 well-mixed bits of (value, key)."""
    mixed = (value ^ key) * _MULTIPLY_1
    mixed ^= mixed >> _SHIFT_1
    mixed *= _MULTIPLY_2
    return mixed >> _SHIFT_2


@lru_cache(maxsize=64)
def _round_keys(seed: int, epoch: int) -> tuple[tuple[np.uint64, np.uint64], ...]:
    return tuple(
        (np.uint64(_draw(seed, epoch, f"left {number}")), np.uint64(_draw(seed, epoch, f"right {number}")))
        for number in range(_ROUNDS)
    )


@lru_cache(maxsize=1024)
def _draw(seed: int, epoch: int, purpose: str) -> int:
    digest = hashlib.sha256(f"paribus batch\0{seed}\0{epoch}\0{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "little")
