"""What held-out text is scored on: a fixed set of windows, the same for every arm, seed and step.

The score itself, bits per byte, is the summed loss over the bytes of what is scored; both belong in training.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from paribus.errors import RequestError
from paribus.text.data.dataset import Dataset
from paribus.text.data.sampling import num_windows
from paribus.text.data.shards import Split

MIN_HELDOUT_WINDOWS = 16


def heldout_windows(split: Split, *, seq_len: int, num_tokens: int = 65536) -> npt.NDArray[np.int64]:
    """int64 [n, seq_len + 1]: n = num_tokens // seq_len windows evenly spaced over the whole split.

    No target stands in two windows. A split with fewer windows gives all of them; n is at least 1. Raises
    `RequestError`, with the bytes needed, if not one fits.
    """
    starts = _window_starts(split, seq_len=seq_len, num_tokens=num_tokens)
    return split.windows(starts, seq_len + 1).astype(np.int64)


def heldout_window_groups(split: Split, *, seq_len: int, num_tokens: int = 65536) -> npt.NDArray[np.int64]:
    """int64 [n]: for each of the same `heldout_windows`, the group of near-duplicates that its first target is of.

    What a bootstrap over text resamples are these groups, in [0, split.num_groups): windows of one document,
    or of two that say nearly the same, are not independent. Raises `RequestError` as `heldout_windows` does.
    """
    return split.groups_at(_window_starts(split, seq_len=seq_len, num_tokens=num_tokens) + 1)


def _window_starts(split: Split, *, seq_len: int, num_tokens: int) -> npt.NDArray[np.int64]:
    if seq_len < 1:
        raise RequestError(f"seq_len is {seq_len}: a window has at least 1 token")
    available = (split.num_tokens - 1) // seq_len
    if available < 1:
        needed = math.ceil((seq_len + 1) * split.num_bytes / max(split.num_tokens, 1))
        raise RequestError(
            f"the {split.name} split has {split.num_tokens:,} tokens ({split.num_bytes:,} bytes) and one window of "
            f"seq_len={seq_len} needs {seq_len + 1:,} (about {needed:,} bytes): give more text or a smaller seq_len"
        )
    count = min(max(num_tokens // seq_len, 1), available)
    # (num_tokens - 1) / count is at least seq_len, so the rounded-down starts are at least seq_len apart.
    return np.arange(count, dtype=np.int64) * (split.num_tokens - 1) // count


def check_size(dataset: Dataset, *, seq_len: int, batch_size: int) -> None:
    """Raises `RequestError`, with the bytes needed, unless training holds one batch and held-out 16 windows."""
    train, heldout = dataset.train, dataset.heldout
    train_has = num_windows(train, seq_len=seq_len)
    heldout_has = max(heldout.num_tokens - 1, 0) // seq_len
    if train_has >= batch_size and heldout_has >= MIN_HELDOUT_WINDOWS:
        return
    needed = max(
        (batch_size + 1) * seq_len / train.num_tokens,
        (MIN_HELDOUT_WINDOWS * seq_len + 1) / heldout.num_tokens,
    )
    raise RequestError(
        f"{dataset.name} has {dataset.bytes:,} bytes of text, which is too small: at seq_len={seq_len} and "
        f"batch_size={batch_size} training has {train_has:,} of {batch_size:,} windows and held-out text "
        f"{heldout_has:,} of {MIN_HELDOUT_WINDOWS}, so give about {math.ceil(needed * dataset.bytes):,} bytes of "
        "text or a smaller seq_len or batch_size"
    )
